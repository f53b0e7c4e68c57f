// The outcome of a remote call, with the codes of gRPC that containerd takes errors from.
#pragma once

#include <expected>
#include <functional>
#include <string>
#include <string_view>

namespace cofferdam::shim {

enum class RpcCode : int {
  Unknown = 2,
  InvalidArgument = 3,
  NotFound = 5,
  AlreadyExists = 6,
  FailedPrecondition = 9,
  Unimplemented = 12,
};

struct Failure {
  RpcCode code;
  std::string message;
};

template <class T>
using Answer = std::expected<T, Failure>;

inline std::unexpected<Failure> fail_call(RpcCode code, std::string message) {
  return std::unexpected(Failure{code, std::move(message)});
}

// Gives the encoded response to whoever asked. Called once; the asker may have gone.
using Responder = std::function<void(Answer<std::string>)>;
using CallHandler = std::function<void(std::string_view payload, Responder const&)>;

}  // namespace cofferdam::shim
