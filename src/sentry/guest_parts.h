// What a container in the kernel is put together from.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/outcome.h"
#include "container/protocol.h"
#include "kernel/namespace/namespace_set.h"
#include "kernel/task/control_group.h"
#include "sentry/config.h"

namespace cofferdam::sentry {

// Its limits, its devices, and whether it is traced; its processes come from the platform's first source.
kernel::ControlGroup::Options control_group_options(Config const&);

// Of one that joins: the configuration, moved out of the request.
Outcome<std::unique_ptr<Config>> config_of(container::JoinRequest& request, Settings const& settings);
// Of one that joins: own ones, but for what it shares with others. `find`: those of another container.
using FindNamespaces = std::function<Outcome<Ref<kernel::NamespaceSet const>>(std::string const& id)>;
Outcome<Ref<kernel::NamespaceSet const>> namespaces_of(kernel::Kernel&, container::JoinRequest const& request,
                                                       FindNamespaces const& find);

}  // namespace cofferdam::sentry
