#include "container/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <ranges>

#include <fmt/format.h>

#include "cgroup/cgroup.h"
#include "oci/reader.h"
#include "stub/layout.h"

namespace cofferdam::container {

namespace {

constexpr char control_name[] = "control.sock";
constexpr char state_name[] = "state.json";
constexpr char lock_name[] = "lock";
constexpr char cgroups_name[] = "cgroups";  // a directory a line

Outcome<> make_directories(std::string const& path) {
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), 0711) != 0 && errno != EEXIST)
      return refuse(
          fmt::format("cannot make state directory {}: {}; choose another with --root", part, strerror(errno)));
    if (at == std::string::npos) return {};
  }
}

// While a record is being made. No id holds a colon.
std::string aside_path(std::string const& root, std::string const& token) { return root + "/.new:" + token; }

// Empties the directory and removes it; another one that stands at its path by now stays, since it is not empty.
// The lock goes last: while it stands, others wait for it and then see that it is gone.
void remove_at(int directory, std::string const& path) {
  for (char const* name : {control_name, state_name, "state.json.new", cgroups_name, lock_name})
    ::unlinkat(directory, name, 0);
  ::rmdir(path.c_str());
}

// The path of a socket through its directory's descriptor: sun_path holds 107 bytes only.
sockaddr_un control_address(int directory) {
  sockaddr_un address{.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory, control_name);
  return address;
}

oci::Json record(State const& s) {
  oci::JsonObject annotations;
  for (auto& [key, value] : s.annotations) annotations.emplace_back(key, value);
  oci::JsonArray cgroups;
  for (auto& path : s.cgroups) cgroups.emplace_back(path);
  return oci::JsonObject{{"ociVersion", s.oci_version},
                         {"id", s.id},
                         {"pid", static_cast<int64_t>(s.pid)},
                         {"startTime", s.start_time},
                         {"bundle", s.bundle},
                         {"rootfs", s.rootfs},
                         {"created", s.created},
                         {"owner", s.owner},
                         {"terminal", s.terminal},
                         {"annotations", std::move(annotations)},
                         {"cgroups", std::move(cgroups)},
                         {"sandbox", s.sandbox},
                         {"memoryOverlay", s.memory_overlay}};
}

}  // namespace

std::string_view phase_name(Phase phase) {
  switch (phase) {
    case Phase::Created:
      return "created";
    case Phase::Running:
      return "running";
    case Phase::Paused:
      return "paused";
    case Phase::Stopped:
      break;
  }
  return "stopped";
}

Outcome<> check_id(std::string_view id) {
  bool good = !id.empty() && id.size() <= 255 && id != "." && id != "..";
  for (char c : id)
    good = good && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("_+-.", c));
  if (!good)
    return refuse(fmt::format("'{}' cannot be a container id; use letters, digits, '_', '+', '-' and '.'", id));
  return {};
}

std::string new_record_token() {
  uint64_t random[2] = {};
  if (::getrandom(random, sizeof random, 0) != sizeof random) random[0] = static_cast<uint64_t>(::getpid());
  return fmt::format("{:016x}{:016x}", random[0], random[1]);
}

Outcome<StateDirectory> StateDirectory::create(std::string const& root, std::string const& id,
                                               std::string const& token) {
  ATTEMPT(check_id(id));
  ATTEMPT(make_directories(root));
  StateDirectory self;
  self.path_ = root + "/" + id;
  self.id_ = id;
  // Made aside and renamed into place: under its name a record is whole, with its lock held, or not there.
  std::string const aside = aside_path(root, token);
  if (::mkdir(aside.c_str(), 0711) != 0)
    return refuse(fmt::format("cannot make {}: {}; choose another place with --root", aside, strerror(errno)));
  self.directory_ = host::OwnedFd(::open(aside.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  self.lock_ = host::OwnedFd(::openat(self.directory_.get(), lock_name, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  bool const locked = self.lock_ && ::flock(self.lock_.get(), LOCK_EX) == 0 &&
                      ::write(self.lock_.get(), token.data(), token.size()) == static_cast<ssize_t>(token.size());
  // (An empty directory of that name, which is no record, gives way.)
  if (locked && ::rename(aside.c_str(), self.path_.c_str()) == 0) return self;
  int const error = errno;
  remove_at(self.directory_.get(), aside);
  if (locked && (error == EEXIST || error == ENOTEMPTY))
    return refuse(fmt::format("container '{}' exists already; delete it or use another id", id));
  return refuse(
      fmt::format("cannot make and lock {}: {}; choose another place with --root", self.path_, strerror(error)));
}

Outcome<StateDirectory> StateDirectory::open(std::string const& root, std::string const& id) {
  ATTEMPT(check_id(id));
  StateDirectory self;
  self.path_ = root + "/" + id;
  self.id_ = id;
  auto missing = [&] { return refuse(fmt::format("container does not exist: '{}'", id)); };
  self.directory_ = host::OwnedFd(::open(self.path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!self.directory_ && errno != ENOENT)
    return refuse(fmt::format("cannot open {}: {}", self.path_, strerror(errno)));
  if (!self.directory_) return missing();
  self.lock_ = host::OwnedFd(::openat(self.directory_.get(), lock_name, O_RDWR | O_CLOEXEC));
  if (!self.lock_ && errno != ENOENT)
    return refuse(fmt::format("cannot open {}/{}: {}", self.path_, lock_name, strerror(errno)));
  if (!self.lock_) {
    ::rmdir(self.path_.c_str());  // what is left when a removal was cut short: the lock goes last
    return missing();
  }
  while (::flock(self.lock_.get(), LOCK_EX) != 0)
    if (errno != EINTR) return refuse(fmt::format("cannot lock {}: {}", self.path_, strerror(errno)));
  // Whoever held the lock may have deleted the container.
  struct stat st{};
  if (::fstat(self.lock_.get(), &st) != 0 || st.st_nlink == 0) return missing();
  return self;
}

Outcome<State> StateDirectory::peek(std::string const& root, std::string const& id) {
  StateDirectory self;
  self.path_ = root + "/" + id;
  self.id_ = id;
  return self.load();
}

Outcome<State> StateDirectory::load() const {
  std::string file = path_ + "/" + state_name;
  if (::access(file.c_str(), F_OK) != 0)
    return refuse(fmt::format("container '{}' was not created completely; remove it with 'delete --force'", id_));
  std::string text = ATTEMPT(oci::read_text_file(file));
  auto json = oci::parse_json(text);
  if (!json) return refuse(fmt::format("{}: {}", file, json.error()));
  std::string error;
  oci::Reader top(&*json, "", &error);
  State s;
  top.at("ociVersion").read(s.oci_version);
  top.at("id").require(s.id);
  top.at("pid").require(s.pid);
  top.at("startTime").read(s.start_time);
  top.at("bundle").read(s.bundle);
  top.at("rootfs").read(s.rootfs);
  top.at("created").read(s.created);
  top.at("owner").read(s.owner);
  top.at("terminal").read(s.terminal);
  top.at("annotations").read(s.annotations);
  top.at("cgroups").read(s.cgroups);
  top.at("sandbox").read(s.sandbox);
  top.at("memoryOverlay").read(s.memory_overlay);
  if (!error.empty()) return refuse(fmt::format("{}: {}", file, error));
  return s;
}

Outcome<> StateDirectory::save(State const& state) const {
  std::string text = oci::print_json(record(state));
  constexpr char temporary[] = "state.json.new";
  host::OwnedFd fd(::openat(directory_.get(), temporary, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
  if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::renameat(directory_.get(), temporary, directory_.get(), state_name) != 0)
    return refuse(fmt::format("cannot write {}/{}: {}", path_, state_name, strerror(errno)));
  return {};
}

Outcome<> StateDirectory::note_cgroups(std::vector<std::string> const& directories) const {
  if (directories.empty()) return {};
  std::string text;
  for (auto const& directory : directories) text += directory + "\n";
  host::OwnedFd const fd(::openat(directory_.get(), cgroups_name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
  if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return refuse(fmt::format("cannot write {}/{}: {}", path_, cgroups_name, strerror(errno)));
  return {};
}

std::vector<std::string> StateDirectory::noted_cgroups() const {
  std::vector<std::string> directories;
  auto const text = oci::read_text_file(path_ + "/" + cgroups_name);
  for (size_t at = 0, end = 0; text && at < text->size(); at = end + 1) {
    end = std::min(text->find('\n', at), text->size());
    if (end != at) directories.push_back(text->substr(at, end - at));
  }
  return directories;
}

void remove_record(std::string const& root, std::string const& id, std::string const& token) {
  std::string const aside = aside_path(root, token), path = root + "/" + id;
  host::OwnedFd directory(::open(aside.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (directory) return remove_at(directory.get(), aside);
  directory = host::OwnedFd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return;
  host::OwnedFd lock(::openat(directory.get(), lock_name, O_RDONLY | O_CLOEXEC));
  char text[64];
  ssize_t const n = lock ? ::read(lock.get(), text, sizeof text) : -1;
  if (n >= 0 && std::string_view(text, static_cast<size_t>(n)) == token) remove_at(directory.get(), path);
}

void StateDirectory::remove() {
  remove_at(directory_.get(), path_);
  lock_.reset();
}

Outcome<host::OwnedFd> StateDirectory::listen() const {
  host::OwnedFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address = control_address(directory_.get());
  if (!fd || ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), 64) != 0)
    return refuse(fmt::format("cannot make the control socket in {}: {}", path_, strerror(errno)));
  if (::fchmodat(directory_.get(), control_name, 0600, 0) != 0)
    return refuse(fmt::format("cannot guard the control socket in {}: {}", path_, strerror(errno)));
  return fd;
}

Outcome<host::OwnedFd> StateDirectory::connect() const {
  host::OwnedFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = control_address(directory_.get());
  if (!fd || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return refuse(fmt::format("cannot reach container '{}': {}", id_, strerror(errno)));
  return fd;
}

namespace {

// Of /proc: short, and gone when the process is.
std::string text_of(pid_t pid, char const* file) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
  host::OwnedFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  char text[4096];
  ssize_t n = fd ? ::read(fd.get(), text, sizeof text) : 0;
  return n > 0 ? std::string(text, static_cast<size_t>(n)) : std::string();
}

std::string stat_of(pid_t pid) { return text_of(pid, "stat"); }

// Ascending by age, where the host's kernel can tell at once.
std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> out;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task/%d/children", parent, parent);
  if (FILE* file = ::fopen(path, "re")) {
    int pid = 0;
    while (::fscanf(file, "%d", &pid) == 1) out.push_back(pid);
    ::fclose(file);
    return out;
  }
  DIR* directory = ::opendir("/proc");
  if (!directory) return out;
  while (auto* entry = ::readdir(directory)) {
    pid_t const pid = ::atoi(entry->d_name);
    if (pid <= 0) continue;
    auto const text = stat_of(pid);
    size_t const at = text.rfind(')');
    int found = 0;
    if (at != std::string::npos && sscanf(text.c_str() + at + 1, " %*c %d", &found) == 1 && found == parent)
      out.push_back(pid);
  }
  ::closedir(directory);
  return out;
}

// The process that stubs are made from, or one that stands ready for the next execve: no guest memory, which lies below
// the stub's own.
bool holds_no_guest(pid_t pid) {
  std::string const text = text_of(pid, "maps");
  unsigned long long first = 0;
  return sscanf(text.c_str(), "%llx-", &first) == 1 && first >= stub::user_limit;
}

}  // namespace

uint64_t process_start_time(pid_t pid) {
  std::string const text = stat_of(pid);
  char const* at = strrchr(text.c_str(), ')');  // the name may hold anything, a parenthesis too
  char state = 0;
  unsigned long long start = 0;
  if (!at || sscanf(at + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state,
                    &start) != 2)
    return 0;
  return state == 'Z' || state == 'X' ? 0 : start;
}

std::vector<pid_t> host_processes(State const& s) {
  std::vector<pid_t> stubs = s.sandbox.empty()   ? children_of(s.pid)
                             : s.cgroups.empty() ? std::vector<pid_t>()
                                                 : cgroup::processes(s.cgroups);
  std::erase_if(stubs, [&](pid_t pid) { return pid == s.pid || process_start_time(pid) == 0 || holds_no_guest(pid); });
  std::ranges::sort(stubs);
  stubs.insert(stubs.begin(), s.pid);
  return stubs;
}

pid_t stub_of(pid_t sentry, pid_t number_inside) {
  auto const children = children_of(sentry);
  for (pid_t pid : children | std::views::reverse) {  // the newest are the last
    std::string const text = text_of(pid, "status");
    size_t const at = text.find("\nNSpid:"), end = text.find('\n', at + 1);
    if (at == std::string::npos || end == std::string::npos) continue;
    size_t const last = text.find_last_of("\t ", end - 1);
    if (last > at && ::atoi(text.c_str() + last + 1) == number_inside) return pid;
  }
  return 0;
}

bool alive(State const& s) {
  uint64_t start = process_start_time(s.pid);
  return start != 0 && start == s.start_time;
}

Phase phase_of(StateDirectory const& directory, State const& s) {
  if (!alive(s)) return Phase::Stopped;
  auto reply = call(directory, RequestKind::Status, {}, {}, 5);
  if (reply)
    if (auto phase = decode_number(reply->payload); phase && *phase <= static_cast<uint32_t>(Phase::Paused))
      return static_cast<Phase>(*phase);
  // It is there and does not answer: it is ending, or too busy.
  return alive(s) ? Phase::Running : Phase::Stopped;
}

Outcome<Frame> call(StateDirectory const& directory, RequestKind kind, std::string_view payload,
                    std::vector<int> const& fds, int timeout_seconds) {
  host::OwnedFd socket = ATTEMPT(directory.connect());
  if (timeout_seconds > 0) {
    timeval limit{.tv_sec = timeout_seconds, .tv_usec = 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  ATTEMPT(send_frame(socket.get(), static_cast<uint32_t>(kind), payload, fds));
  Frame reply = ATTEMPT(receive_frame(socket.get()));
  if (reply.kind != 0) return refuse(std::move(reply.payload));
  return reply;
}

std::vector<std::string> list_ids(std::string const& root) {
  std::vector<std::string> ids;
  DIR* directory = ::opendir(root.c_str());
  if (!directory) return ids;
  while (auto* entry = ::readdir(directory))
    if (entry->d_name[0] != '.') ids.emplace_back(entry->d_name);
  ::closedir(directory);
  std::ranges::sort(ids);
  return ids;
}

oci::Json state_json(State const& s, Phase phase, std::string_view status) {
  oci::JsonObject out{{"ociVersion", s.oci_version},
                      {"id", s.id},
                      {"pid", static_cast<int64_t>(phase == Phase::Stopped ? 0 : s.pid)},
                      {"status", status.empty() ? phase_name(phase) : status},
                      {"bundle", s.bundle},
                      {"rootfs", s.rootfs},
                      {"created", s.created}};
  if (!s.annotations.empty()) {
    oci::JsonObject annotations;
    for (auto& [key, value] : s.annotations) annotations.emplace_back(key, value);
    out.emplace_back("annotations", std::move(annotations));
  }
  out.emplace_back("owner", s.owner);
  return out;
}

}  // namespace cofferdam::container
