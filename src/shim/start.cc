#include "shim/start.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "cgroup/cgroup.h"
#include "host/fd.h"
#include "oci/json.h"
#include "oci/reader.h"
#include "oci/spec.h"
#include "shim/commands.h"
#include "shim/options.h"
#include "shim/proto/task.pb.h"
#include "shim/rootfs.h"
#include "shim/service.h"

namespace cofferdam::shim {

namespace {

constexpr std::string_view socket_directory = "/run/containerd/s";
constexpr std::string_view address_file = "address";
constexpr std::string_view scheme = "unix://";

// Containers of one group have one shim. The first label is of this shim's own; the others are what engines write.
constexpr std::string_view group_labels[] = {"io.containerd.cofferdam.v1.group", "io.containerd.runc.v2.group",
                                             "io.kubernetes.cri.sandbox-id"};

Outcome<std::string> group_of(std::string const& id) {
  std::string const text = ATTEMPT(oci::read_text_file("config.json"));
  auto const json = oci::parse_json(text);
  if (!json) return refuse(fmt::format("config.json: {}", json.error()));
  auto const* annotations = json->find("annotations");
  for (std::string_view label : group_labels) {
    auto const* value = annotations ? annotations->find(label) : nullptr;
    if (auto const* group = value ? value->as<std::string>() : nullptr; group && !group->empty()) return *group;
  }
  return id;
}

// Everybody who asks for the same group finds the same name: 128 bits of FNV-1a.
std::string socket_path(Arguments const& a, std::string const& group) {
  constexpr auto prime = (static_cast<unsigned __int128>(1) << 88) + 0x13b;
  auto hash = (static_cast<unsigned __int128>(0x6c62272e07bb0142) << 64) + 0x62b821756295c58d;
  for (std::string const* part : {&a.address, &a.name_space, &group})
    for (size_t i = 0; i <= part->size(); ++i) hash = (hash ^ static_cast<uint8_t>(part->c_str()[i])) * prime;
  return fmt::format("{}/cofferdam-{:016x}{:016x}", socket_directory, static_cast<uint64_t>(hash >> 64),
                     static_cast<uint64_t>(hash));
}

Outcome<sockaddr_un> socket_address(std::string const& path) {
  sockaddr_un address{.sun_family = AF_UNIX};
  if (path.size() >= sizeof address.sun_path) return refuse(fmt::format("the socket's path {} is too long", path));
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

bool can_connect(std::string const& path) {
  auto const address = socket_address(path);
  host::OwnedFd const fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return address && fd && ::connect(fd.get(), reinterpret_cast<sockaddr const*>(&*address), sizeof *address) == 0;
}

// No socket: one of the same name is served.
Outcome<host::OwnedFd> listen_at(std::string const& path) {
  auto const address = ATTEMPT(socket_address(path));
  ::mkdir("/run/containerd", 0711);
  ::mkdir(std::string(socket_directory).c_str(), 0711);
  host::OwnedFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  mode_t const before = ::umask(0177);
  int bound = fd ? ::bind(fd.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) : -1;
  if (bound != 0 && errno == EADDRINUSE) {
    if (can_connect(path)) {
      ::umask(before);
      return host::OwnedFd();
    }
    ::unlink(path.c_str());  // of one that died
    bound = ::bind(fd.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address);
  }
  int const error = errno;
  ::umask(before);
  if (bound == 0 && ::listen(fd.get(), 128) == 0) return fd;
  return refuse(fmt::format("cannot make the socket {}: {}", path, strerror(bound != 0 ? error : errno)));
}

std::string read_all(int fd) {
  constexpr size_t most = 1 << 20;
  std::string out;
  char buffer[4096];
  for (ssize_t n; out.size() < most && (n = ::read(fd, buffer, sizeof buffer)) > 0;)
    out.append(buffer, static_cast<size_t>(n));
  return out;
}

Outcome<RuntimeOptions> options_from_input() {
  wire::Any any;
  if (!any.ParseFromString(read_all(STDIN_FILENO))) return refuse("the options on standard input cannot be decoded");
  return decode_options(any.type_url(), any.value());
}

// One above the score of whoever starts it: it goes after that when memory is short.
void adjust_oom_score(pid_t pid) {
  auto const text = oci::read_text_file(fmt::format("/proc/{}/oom_score_adj", ::getppid()));
  if (!text) return;
  (void)write_file(fmt::format("/proc/{}/oom_score_adj", pid),
                   fmt::format("{}", std::min(::atoi(text->c_str()) + 1, 1000)));
}

Outcome<> join_cgroup(std::string const& path, pid_t pid) {
  if (path.empty()) return {};
  oci::Resources const none;
  auto const directories = ATTEMPT(cgroup::plan(path, "shim", none));
  ATTEMPT(cgroup::create(path, "shim", none));
  return cgroup::add_process(directories, pid);
}

Outcome<> print_out(std::string_view text) {
  if (::write(STDOUT_FILENO, text.data(), text.size()) == static_cast<ssize_t>(text.size())) return {};
  return refuse("cannot write to standard output");
}

// containerd 2 sets the variable to 3 and takes JSON; the ones before it take the bare address.
std::string bootstrap_text(std::string const& address) {
  char const* version = ::getenv("MAX_SHIM_VERSION");
  if (version == nullptr || ::atoi(version) < 3) return address;
  return oci::print_json(oci::JsonObject{{"version", 3}, {"address", address}, {"protocol", "ttrpc"}});
}

Outcome<pid_t> spawn_server(Arguments const& a, host::OwnedFd const& socket) {
  Command command{.words = {own_program(), "-namespace", a.name_space, "-id", a.id, "-address", a.address}};
  if (a.debug) command.words.emplace_back("-debug");
  command.descriptors = {{socket.get(), socket_descriptor}};
  return spawn(command);
}

}  // namespace

Outcome<> start_shim(Arguments const& a) {
  std::string const path = socket_path(a, ATTEMPT(group_of(a.id)));
  std::string const address = std::string(scheme) + path;
  host::OwnedFd const socket = ATTEMPT(listen_at(path));
  // For containerd when it comes back. (From version 2 on it writes this itself.)
  ATTEMPT(write_file(std::string(address_file), address));
  if (!socket) return print_out(bootstrap_text(address));
  auto undo = [&](std::string why) {
    ::unlink(path.c_str());
    return refuse(std::move(why));
  };
  auto const options = options_from_input();
  if (!options) return undo(options.error());
  auto const pid = spawn_server(a, socket);
  if (!pid) return undo(pid.error());
  adjust_oom_score(*pid);
  if (auto joined = join_cgroup(options->shim_cgroup, *pid); !joined) {
    ::kill(*pid, SIGKILL);
    return undo(joined.error());
  }
  return print_out(bootstrap_text(address));
}

Outcome<> delete_after_shim(Arguments const& a) {
  std::string const bundle = a.bundle.empty() ? "." : a.bundle;
  auto loop = ATTEMPT(EventLoop::create());
  Runtime runtime(*loop, load_options(bundle), a.name_space, bundle);
  constexpr milliseconds within{30'000};
  auto const done = runtime.call_and_wait({"delete", "--force", a.id}, within);
  if (!done) fmt::print(stderr, "cannot delete container {}: {}\n", a.id, done.error());
  std::string const root = bundle + "/rootfs";
  if (!unmount_root(root)) fmt::print(stderr, "cannot unmount {}: {}\n", root, strerror(errno));
  if (auto const address = oci::read_text_file(fmt::format("{}/{}", bundle, address_file));
      address && address->starts_with(scheme)) {
    std::string const path = address->substr(scheme.size());
    if (path.starts_with(socket_directory) && !can_connect(path)) ::unlink(path.c_str());
  }
  wire::DeleteResponse out;
  if (auto const pid = read_pid_file(bundle + "/init.pid")) out.set_pid(static_cast<uint32_t>(*pid));
  out.set_exit_status(128 + SIGKILL);
  auto const now = time_now();
  out.mutable_exited_at()->set_seconds(now.seconds);
  out.mutable_exited_at()->set_nanos(now.nanoseconds);
  return print_out(out.SerializeAsString());
}

Outcome<> print_info() {
  auto const options = ATTEMPT(options_from_input());
  auto loop = ATTEMPT(EventLoop::create());
  wire::RuntimeInfo info;
  info.set_name("io.containerd.cofferdam.v1");
  info.mutable_version()->set_version(COFFERDAM_VERSION);
  std::string output;
  Command command{.words = {runtime_binary(options), "features"}, .take_output = true};
  ATTEMPT(run_command(*loop, command, [&](CommandEnd end) {
    if (end.succeeded()) output = std::move(end.output);
    loop->stop();
  }));
  loop->run();
  if (!output.empty()) {
    info.mutable_features()->set_type_url("types.containerd.io/opencontainers/runtime-spec/1/features/Features");
    info.mutable_features()->set_value(output);
  }
  return print_out(info.SerializeAsString());
}

}  // namespace cofferdam::shim
