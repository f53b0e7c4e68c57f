#include <time.h>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/options.h"
#include "container/state.h"

namespace cofferdam::cli {

namespace {

std::string table(std::vector<container::ProcessInfo> const& processes) {
  std::string out =
      fmt::format("{:<8} {:>7} {:>7} {:>5} {:<5} {:>8} {}\n", "UID", "PID", "PPID", "NLWP", "STIME", "TIME", "CMD");
  for (auto& p : processes) {
    auto start = static_cast<time_t>(p.start_seconds);
    tm local{};
    localtime_r(&start, &local);
    uint64_t seconds = p.cpu_milliseconds / 1000;
    out += fmt::format("{:<8} {:>7} {:>7} {:>5} {:02}:{:02} {:02}:{:02}:{:02} {}\n", p.uid, p.pid, p.parent, p.threads,
                       local.tm_hour, local.tm_min, seconds / 3600, seconds / 60 % 60, seconds % 60,
                       log::escape(p.command));  // the guest chose it: no control characters to a terminal
  }
  return out;
}

}  // namespace

Outcome<int> run_ps(Globals const& g, Words const& words) {
  std::string format = "table";
  Options options("cofferdam ps", "ID", "Lists the processes of a container, with the ids that they have inside.");
  options.text("--format,-f", format, "table or json");
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  if (rest.empty()) return refuse("ps: the id of a container is missing");
  // Options of ps(1) may follow, as with runc: the table is always this one.
  if (format != "table" && format != "json")
    return refuse(fmt::format("ps: format '{}' is not known; use table or json", format));
  auto record = ATTEMPT(container::StateDirectory::open(g.state_root, rest[0]));
  auto state = ATTEMPT(record.load());
  record.unlock();
  if (!container::alive(state)) return refuse(fmt::format("container '{}' is not running", rest[0]));
  auto reply = ATTEMPT(container::call(record, container::RequestKind::Processes, {}, {}, 10));
  auto processes = ATTEMPT(container::decode_processes(reply.payload));
  if (format == "json") {
    oci::JsonArray pids;  // as engines want them: ids on the host
    for (pid_t pid : container::host_processes(state)) pids.emplace_back(static_cast<int64_t>(pid));
    ATTEMPT(print(oci::print_json(pids) + "\n"));
  } else {
    ATTEMPT(print(table(processes)));
  }
  return 0;
}

}  // namespace cofferdam::cli
