// Options of a command: one typed declaration gives parser, defaults and help.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cofferdam::cli {

class Options {
 public:
  // `usage` stands behind the command's name in its help.
  Options(std::string name, std::string_view usage, std::string_view description);
  ~Options();

  // names as "--bundle,-b". One that is given again replaces what stood before, as in runc: engines put their own
  // behind those of their configuration.
  void flag(std::string_view names, bool& to, std::string_view help);
  void text(std::string_view names, std::string& to, std::string_view help);
  void number(std::string_view names, unsigned& to, std::string_view help);
  void list(std::string_view names, std::vector<std::string>& to, std::string_view help);  // may be given several times

  enum class Outcome { Go, Shown, Wrong };
  // Options up to the first word that is none; the rest, that word first, is `rest`. Help goes to standard output, and
  // so does the page for man(1) when --manual is the only word; what is wrong goes to `message`.
  Outcome parse(std::vector<std::string> const& words, std::vector<std::string>& rest, std::string& message);

 private:
  std::string manual() const;
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace cofferdam::cli
