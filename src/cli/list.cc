#include <fmt/format.h>

#include "cli/command.h"
#include "cli/options.h"
#include "container/state.h"

namespace cofferdam::cli {

namespace {

constexpr std::string_view headings[] = {"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"};

struct Row {
  std::string cells[6];
  oci::Json json;
};

std::string table(std::vector<Row> const& rows) {
  size_t widths[6];
  for (size_t n = 0; n < 6; ++n) {
    widths[n] = std::max<size_t>(headings[n].size(), 11);  // as runc's tab writer lays out
    for (auto& row : rows) widths[n] = std::max(widths[n], row.cells[n].size());
  }
  std::string out;
  auto line = [&](auto&& cell) {
    for (size_t n = 0; n < 5; ++n) out += fmt::format("{:<{}} ", cell(n), widths[n]);
    out += fmt::format("{}\n", cell(5));
  };
  line([](size_t n) { return headings[n]; });
  for (auto& row : rows) line([&](size_t n) { return std::string_view(row.cells[n]); });
  return out;
}

}  // namespace

Outcome<int> run_list(Globals const& g, Words const& words) {
  std::string format = "table";
  bool quiet = false;
  Options options("cofferdam list", "", "Lists the containers under --root.");
  options.text("--format,-f", format, "table or json");
  options.flag("--quiet,-q", quiet, "ids only");
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  if (!rest.empty()) return refuse(fmt::format("list: '{}' is one word too many", rest[0]));
  if (format != "table" && format != "json")
    return refuse(fmt::format("list: format '{}' is not known; use table or json", format));
  std::vector<Row> rows;
  for (auto& id : container::list_ids(g.state_root)) {
    auto record = container::StateDirectory::open(g.state_root, id);
    if (!record) continue;  // deleted meanwhile
    auto state = record->load();
    if (!state) {
      log::warning("{}", state.error());
      continue;
    }
    auto phase = container::phase_of(*record, *state);
    rows.push_back({{id, fmt::format("{}", phase == container::Phase::Stopped ? 0 : state->pid),
                     std::string(container::phase_name(phase)), state->bundle, state->created, state->owner},
                    container::state_json(*state, phase)});
  }
  std::string out;
  if (quiet) {
    for (auto& row : rows) out += row.cells[0] + "\n";
  } else if (format == "json") {
    oci::JsonArray array;
    for (auto& row : rows) array.push_back(std::move(row.json));
    out = rows.empty() ? "null" : oci::print_json(array);
  } else {
    out = table(rows);
  }
  ATTEMPT(print(out));
  return 0;
}

}  // namespace cofferdam::cli
