#include "cli/options.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

namespace cofferdam::cli {

struct Options::Parser {
  CLI::App app;
  std::string command, usage;
  explicit Parser(std::string const& description) : app(description) {}
};

namespace {

// For groff: no line begins with a control character, and no dash becomes a hyphen.
std::string roff(std::string_view text) {
  std::string out;
  for (char const c : text) {
    if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += "\\&";
    if (c == '-' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

void put(std::string_view text) {
  while (!text.empty()) {
    ssize_t const n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace

Options::Options(std::string name, std::string_view usage, std::string_view description)
    : parser_(std::make_unique<Parser>(std::string(description))) {
  auto& app = parser_->app;
  parser_->command = name;
  parser_->usage = usage;
  app.name(std::move(name) + (usage.empty() ? "" : " ") + std::string(usage));
  app.prefix_command();
  app.get_formatter()->column_width(34);
}

Options::~Options() = default;

void Options::flag(std::string_view names, bool& to, std::string_view help) {
  parser_->app.add_flag(std::string(names), to, std::string(help));
}

void Options::text(std::string_view names, std::string& to, std::string_view help) {
  parser_->app.add_option(std::string(names), to, std::string(help))
      ->capture_default_str()
      ->type_name("TEXT")
      ->take_last();
}

void Options::number(std::string_view names, unsigned& to, std::string_view help) {
  parser_->app.add_option(std::string(names), to, std::string(help))
      ->capture_default_str()
      ->type_name("N")
      ->take_last();
}

void Options::list(std::string_view names, std::vector<std::string>& to, std::string_view help) {
  parser_->app.add_option(std::string(names), to, std::string(help))
      ->type_name("TEXT")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
}

std::string Options::manual() const {
  auto const& app = parser_->app;
  std::string page = parser_->command;
  std::ranges::replace(page, ' ', '-');
  // What the commands' list in the description of cofferdam itself is set apart by.
  std::string const description = app.get_description();
  size_t const end = std::min(description.find('\n'), description.size());
  std::string out = fmt::format(".TH {} 8 \"\" cofferdam cofferdam\n.SH NAME\n{} \\- {}\n", roff(page), roff(page),
                                roff(description.substr(0, end)));
  out += fmt::format(".SH SYNOPSIS\n.B {}\n[OPTION]... {}\n", roff(parser_->command), roff(parser_->usage));
  if (end != description.size()) out += fmt::format(".SH COMMANDS\n.nf\n{}\n.fi\n", roff(description.substr(end + 1)));
  out += ".SH OPTIONS\n";
  for (CLI::Option const* option : app.get_options()) {
    bool const has_value = option->get_items_expected_max() > 0;
    out += fmt::format(".TP\n\\fB{}\\fR{}\n{}", roff(option->get_name(false, true)),
                       has_value ? " " + option->get_type_name() : std::string(), roff(option->get_description()));
    if (has_value && !option->get_default_str().empty())
      out += fmt::format(" (default: {})", roff(option->get_default_str()));
    out += "\n";
  }
  return out;
}

Options::Outcome Options::parse(std::vector<std::string> const& words, std::vector<std::string>& rest,
                                std::string& message) {
  if (words.size() == 1 && words[0] == "--manual") {
    put(manual());
    return Outcome::Shown;
  }
  std::vector<std::string> reversed(words.rbegin(), words.rend());  // as CLI11 wants them
  try {
    parser_->app.parse(reversed);
  } catch (CLI::CallForHelp const&) {
    put(parser_->app.help());
    return Outcome::Shown;
  } catch (CLI::Error const& error) {
    message = error.what();
    return Outcome::Wrong;
  }
  rest = parser_->app.remaining();
  // An unknown option stops the parsing as an operand does; operands of ours do not begin with a dash.
  if (!rest.empty() && rest[0] == "--") {
    rest.erase(rest.begin());
  } else if (!rest.empty() && rest[0].size() > 1 && rest[0][0] == '-') {
    message = "unknown option '" + rest[0] + "'";
    return Outcome::Wrong;
  }
  return Outcome::Go;
}

}  // namespace cofferdam::cli
