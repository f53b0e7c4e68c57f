#include "shim/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "shim/commands.h"

namespace cofferdam::shim {

namespace {

constexpr int log_program_ready_ms = 10'000;

Outcome<host::OwnedFd> open_path(std::string const& path, int flags) {
  host::OwnedFd fd(::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, 0644));
  if (!fd) return refuse(fmt::format("cannot open {}: {}", path, strerror(errno)));
  return fd;
}

bool is_fifo(std::string const& path) {
  struct stat st{};
  return ::stat(path.c_str(), &st) == 0 && S_ISFIFO(st.st_mode);
}

// Nobody waits for anybody: a FIFO opens at once for reading, and for writing once it is open for reading.
Outcome<Stream> open_fifo(std::string const& path, bool input) {
  host::OwnedFd reader = ATTEMPT(open_path(path, O_RDONLY | O_NONBLOCK));
  host::OwnedFd writer = ATTEMPT(open_path(path, O_WRONLY | O_NONBLOCK));
  Stream stream{.theirs = std::move(input ? reader : writer), .mine = std::move(input ? writer : reader)};
  ::fcntl(stream.theirs.get(), F_SETFL, ::fcntl(stream.theirs.get(), F_GETFL) & ~O_NONBLOCK);
  return stream;
}

Outcome<Stream> open_file(std::string const& path, bool input) {
  return Stream{.theirs = ATTEMPT(open_path(path, input ? O_RDONLY : O_WRONLY | O_APPEND | O_CREAT)), .mine = {}};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// RFC 3986 2.1, and '+' for a blank as forms write it.
std::string decode_percent(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    int const high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    int const low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    if (low >= 0) {
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

// "binary:///PROGRAM?KEY=VALUE&KEY": keys and values are its arguments.
std::vector<std::string> log_program_words(std::string_view uri) {
  size_t const question = uri.find('?');
  std::vector<std::string> words{decode_percent(uri.substr(0, question))};
  if (question == std::string_view::npos) return words;
  for (std::string_view rest = uri.substr(question + 1); !rest.empty();) {
    std::string_view const pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    size_t const equals = pair.find('=');
    words.push_back(decode_percent(pair.substr(0, equals)));
    if (equals != std::string_view::npos && equals + 1 < pair.size())
      words.push_back(decode_percent(pair.substr(equals + 1)));
  }
  return words;
}

struct Pipe {
  host::OwnedFd reader, writer;
};

Outcome<Pipe> make_pipe() {
  int pair[2];
  if (::pipe2(pair, O_CLOEXEC) != 0) return refuse(fmt::format("cannot make a pipe: {}", strerror(errno)));
  return Pipe{.reader = host::OwnedFd(pair[0]), .writer = host::OwnedFd(pair[1])};
}

// The program has the reading ends as descriptors 3 and 4, and closes 5 when it is ready.
Outcome<> start_log_program(std::string_view uri, LogProgram const& names, Stream& out, Stream& err) {
  Pipe output = ATTEMPT(make_pipe()), error = ATTEMPT(make_pipe()), ready = ATTEMPT(make_pipe());
  Command command{.words = log_program_words(uri)};
  command.environment = {"CONTAINER_ID=" + names.container_id, "CONTAINER_NAMESPACE=" + names.name_space};
  command.descriptors = {{output.reader.get(), 3}, {error.reader.get(), 4}, {ready.writer.get(), 5}};
  ATTEMPT(spawn(command));
  ready.writer.reset();
  pollfd wait{.fd = ready.reader.get(), .events = POLLIN};
  while (::poll(&wait, 1, log_program_ready_ms) < 0 && errno == EINTR) {
  }
  if (!wait.revents) return refuse(fmt::format("the log program {} is not ready in time", command.words[0]));
  out.theirs = std::move(output.writer);
  err.theirs = std::move(error.writer);
  return {};
}

struct Place {
  std::string_view scheme, path;
};

Place place_of(std::string_view text) {
  size_t const at = text.find("://");
  if (at == std::string_view::npos) return {.scheme = "fifo", .path = text};
  return {.scheme = text.substr(0, at), .path = text.substr(at + 3)};
}

Outcome<Stream> open_stream(std::string const& text, bool input) {
  if (text.empty()) return Stream{};
  auto const [scheme, view] = place_of(text);
  std::string const path(view);
  if (scheme == "file") return open_file(path, input);
  if (scheme != "fifo") return refuse(fmt::format("'{}': a scheme that this shim does not know", text));
  if (input || is_fifo(path)) return open_fifo(path, input);
  return open_file(path, input);
}

}  // namespace

Outcome<Stdio> Stdio::open(StdioPaths const& paths, LogProgram const& names) {
  Stdio self;
  self.streams_[0] = ATTEMPT(open_stream(paths.in, true));
  if (auto const [scheme, path] = place_of(paths.out); scheme == "binary") {
    ATTEMPT(start_log_program(path, names, self.streams_[1], self.streams_[2]));
    if (paths.terminal) self.streams_[2] = {};
    return self;
  }
  self.streams_[1] = ATTEMPT(open_stream(paths.out, false));
  if (paths.err == paths.out && !paths.err.empty())
    self.streams_[2].theirs = host::OwnedFd(::fcntl(self.streams_[1].theirs.get(), F_DUPFD_CLOEXEC, 3));
  else if (!paths.terminal)
    self.streams_[2] = ATTEMPT(open_stream(paths.err, false));
  return self;
}

Stdio Stdio::of_connection(host::OwnedFd connection) {
  Stdio self;
  self.streams_[1].theirs = host::OwnedFd(::fcntl(connection.get(), F_DUPFD_CLOEXEC, 3));
  self.streams_[0].theirs = std::move(connection);
  return self;
}

void Stdio::given_away() {
  for (auto& stream : streams_) stream.theirs.reset();
}

}  // namespace cofferdam::shim
