// Starting the zygote: the stub process that all others are clones of.
#pragma once

#include <memory>

#include "platform/trap/context.h"

namespace cofferdam::platform::trap {

struct Zygote {
  std::shared_ptr<Shared> shared;
  std::unique_ptr<TrapContext> context;
  stub::SignalContext fresh_context{};  // what a new process starts from
};

Result<Zygote> start_zygote(Options const& options);

}  // namespace cofferdam::platform::trap
