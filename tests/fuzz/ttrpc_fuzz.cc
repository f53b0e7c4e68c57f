// Bytes of a connection to the shim: frames are put together from them, however they are cut, and the messages in them
// are decoded. What was understood must be what is printed again.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <string_view>

#include "shim/proto/task.pb.h"
#include "shim/ttrpc_frame.h"

using namespace cofferdam::shim;

namespace {

void decode(TtrpcFrame const& frame) {
  wire::Request request;
  if (!request.ParseFromString(frame.payload)) return;
  wire::CreateTaskRequest create;
  if (create.ParseFromString(request.payload()) && create.ByteSizeLong() > 64 * frame.payload.size() + 64) abort();
  wire::UpdateTaskRequest update;
  (void)update.ParseFromString(request.payload());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, size_t size) {
  if (size < 1) return 0;
  size_t const step = data[0] + 1;  // how much comes at once
  std::string_view rest(reinterpret_cast<char const*>(data) + 1, size - 1);
  std::string_view const whole = rest;
  FrameReader reader;
  size_t used = 0;
  while (!rest.empty()) {
    std::string_view const part = rest.substr(0, step);
    rest.remove_prefix(part.size());
    reader.feed(part);
    for (;;) {
      auto frame = reader.next();
      if (!frame) return 0;
      if (!*frame) break;
      // (Flags are the sender's business, and are not printed.)
      std::string const again = print_frame((*frame)->stream, (*frame)->kind, (*frame)->payload);
      std::string_view const original = whole.substr(used, again.size());
      if (original.substr(0, 9) != std::string_view(again).substr(0, 9) ||
          original.substr(10) != std::string_view(again).substr(10))
        abort();
      used += again.size();
      decode(**frame);
    }
  }
  return 0;
}
