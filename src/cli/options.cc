#include "cli/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>

namespace cofferdam::cli {

struct Options::Parser {
  CLI::App app;
  explicit Parser(std::string const& description) : app(description) {}
};

Options::Options(std::string name, std::string_view usage, std::string_view description)
    : parser_(std::make_unique<Parser>(std::string(description))) {
  auto& app = parser_->app;
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

Options::Outcome Options::parse(std::vector<std::string> const& words, std::vector<std::string>& rest,
                                std::string& message) {
  std::vector<std::string> reversed(words.rbegin(), words.rend());  // as CLI11 wants them
  try {
    parser_->app.parse(reversed);
  } catch (CLI::CallForHelp const&) {
    std::string help = parser_->app.help();
    [[maybe_unused]] auto n = ::write(STDOUT_FILENO, help.data(), help.size());
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
