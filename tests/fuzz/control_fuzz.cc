// The control socket: frames as they come over a socket, and the payload of every kind of request.
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "container/protocol.h"

using namespace cofferdam;

namespace {

void read_frames(std::string_view bytes) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) std::abort();
  host::OwnedFd reader(ends[0]), writer(ends[1]);
  bytes = bytes.substr(0, 65536);  // as much as the socket takes without a reader
  if (::send(writer.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) < 0) return;
  writer.reset();
  for (int n = 0; n < 100; ++n) {
    auto frame = container::receive_frame(reader.get());
    if (!frame) return;
    if (frame->payload.size() > container::max_frame_bytes || !frame->fds.empty()) std::abort();
  }
}

// What decodes, encodes to something that decodes to the same.
template <class Request>
void decode(std::string_view payload) {
  auto request = Request::decode(payload);
  if (!request) return;
  std::string const bytes = request->encode();
  auto again = Request::decode(bytes);
  if (!again || again->encode() != bytes) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, size_t size) {
  std::string_view const bytes(reinterpret_cast<char const*>(data), size);
  if (bytes.empty()) return 0;
  std::string_view const payload = bytes.substr(1);
  switch (bytes[0] % 7) {
    case 0:
      read_frames(payload);
      break;
    case 1:
      decode<container::SignalRequest>(payload);
      break;
    case 2:
      decode<container::ExecRequest>(payload);
      break;
    case 3:
      decode<container::ResizeRequest>(payload);
      break;
    case 4:
      if (auto list = container::decode_processes(payload)) {
        std::string const again = container::encode_processes(*list);
        if (!container::decode_processes(again)) std::abort();
      }
      break;
    case 5:
      decode<container::JoinRequest>(payload);
      break;
    default:
      (void)container::decode_number(payload);
  }
  return 0;
}
