// Runs the cases of tests/wire/cases against our stack and against Linux. See README.md.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <vector>

#include <fmt/core.h>

#include "host/fd.h"
#include "script.h"

namespace cofferdam::wire {

namespace {

constexpr unsigned case_seconds = 60, slow_case_seconds = 200;
constexpr int attempts_on_linux = 3;  // another program may have kept the processors from it

struct Options {
  bool on_stack = true, on_linux = true, slow = false, verbose = false;
  int jobs = 48;
  std::string filter;
  std::vector<std::string> paths;
};

struct Job {
  Case const* test = nullptr;
  bool v4 = true, on_linux = false;
  int attempts = 0;
  std::string name() const {
    return fmt::format("{} {}{}", on_linux ? "linux" : "stack", test->name, v4 ? "" : " over IPv6");
  }
};

struct Running {
  Job job;
  host::OwnedFd output;
  std::string text;
};

class Crew {
 public:
  Crew(Options const& options, std::vector<Job> jobs) : options_(options), jobs_(std::move(jobs)) {}

  int run() {
    while (!jobs_.empty() || !running_.empty()) {
      while (!jobs_.empty() && running_.size() < static_cast<size_t>(options_.jobs)) begin();
      finish_one();
    }
    fmt::print("wire: {} passed, {} failed\n", passed_, failures_.size());
    return failures_.empty() ? 0 : 1;
  }

 private:
  void begin() {
    Job const job = jobs_.back();
    jobs_.pop_back();
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
    fflush(stdout);
    pid_t const child = ::fork();
    if (child == 0) {
      ::alarm(job.test->slow ? slow_case_seconds : case_seconds);
      std::string const wrong = run_case(*job.test, job.v4, job.on_linux, options_.verbose);
      fflush(stdout);
      ssize_t const written = ::write(ends[1], wrong.data(), std::min<size_t>(wrong.size(), 4000));
      ::_exit(written < 0 || !wrong.empty() ? 1 : 0);
    }
    ::close(ends[1]);
    running_[child] = {job, host::OwnedFd(ends[0]), ""};
  }

  void finish_one() {
    int status = 0;
    pid_t const ended = ::waitpid(-1, &status, 0);
    auto const at = running_.find(ended);
    if (at == running_.end()) return;
    std::string wrong(4096, 0);
    ssize_t const n = ::read(at->second.output.get(), wrong.data(), wrong.size());
    wrong.resize(static_cast<size_t>(std::max<ssize_t>(n, 0)));
    if (WIFSIGNALED(status))
      wrong = fmt::format("it was ended by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
    Job job = at->second.job;
    running_.erase(at);
    if (status == 0) {
      ++passed_;
      if (options_.verbose) fmt::print("ok    {}\n", job.name());
      return;
    }
    if (job.on_linux && ++job.attempts < attempts_on_linux) {
      jobs_.insert(jobs_.begin(), job);  // when there is less to do
      return;
    }
    fmt::print("FAIL  {}\n  {}\n", job.name(), wrong);
    failures_.push_back(job.name());
  }

  Options const& options_;
  std::vector<Job> jobs_;
  std::map<pid_t, Running> running_;
  int passed_ = 0;
  std::vector<std::string> failures_;
};

std::vector<Case> load(Options const& options) {
  std::vector<Case> cases;
  for (auto const& path : options.paths) {
    std::vector<std::string> files;
    if (std::filesystem::is_directory(path)) {
      for (auto const& entry : std::filesystem::directory_iterator(path))
        if (entry.path().extension() == ".wire") files.push_back(entry.path());
    } else {
      files.push_back(path);
    }
    std::ranges::sort(files);
    for (auto const& file : files)
      for (auto& c : read_cases(file)) cases.push_back(std::move(c));
  }
  return cases;
}

std::vector<Job> plan(std::vector<Case> const& cases, Options const& options) {
  std::vector<Job> jobs;
  for (auto const& c : cases)
    for (bool const on_linux : {true, false})
      for (bool const v4 : {false, true}) {
        if (!(v4 ? c.v4 : c.v6) || !(on_linux ? options.on_linux : options.on_stack)) continue;
        if (c.whom != Whom::Both && (c.whom == Whom::Linux) != on_linux) continue;
        if (on_linux && c.slow && !options.slow) continue;
        if (!options.filter.empty() && c.name.find(options.filter) == std::string::npos &&
            c.file.find(options.filter) == std::string::npos)
          continue;
        jobs.push_back({&c, v4, on_linux, 0});
      }
  std::ranges::reverse(jobs);
  return jobs;
}

int main_of(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    std::string const word = argv[i];
    if (word == "--stack")
      o.on_linux = false;
    else if (word == "--linux")
      o.on_stack = false;
    else if (word == "--slow")
      o.slow = true;
    else if (word == "-v")
      o.verbose = true;
    else if (word == "--jobs" && i + 1 < argc)
      o.jobs = std::atoi(argv[++i]);
    else if (word == "--filter" && i + 1 < argc)
      o.filter = argv[++i];
    else if (word[0] != '-')
      o.paths.push_back(word);
    else {
      fmt::print(stderr, "usage: wire_test [--stack|--linux] [--slow] [-v] [--jobs N] [--filter TEXT] FILE|FOLDER…\n");
      return 2;
    }
  }
  if (o.verbose) o.jobs = 1;
  try {
    auto const cases = load(o);
    return Crew(o, plan(cases, o)).run();
  } catch (std::exception const& e) {
    fmt::print(stderr, "wire_test: {}\n", e.what());
    return 2;
  }
}

}  // namespace

}  // namespace cofferdam::wire

int main(int argc, char** argv) { return cofferdam::wire::main_of(argc, argv); }
