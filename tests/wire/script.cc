#include "script.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>

namespace cofferdam::wire {

namespace {

std::string trimmed(std::string s) {
  auto const blank = [](unsigned char c) { return std::isspace(c) != 0; };
  s.erase(s.begin(), std::ranges::find_if_not(s, blank));
  while (!s.empty() && blank(static_cast<unsigned char>(s.back()))) s.pop_back();
  return s;
}

// Cuts a comment off: a '#' that stands alone and not in a text.
std::string without_comment(std::string const& line) {
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"') quoted = !quoted;
    if (line[i] == '#' && !quoted && (i == 0 || std::isspace(static_cast<unsigned char>(line[i - 1]))))
      return line.substr(0, i);
  }
  return line;
}

std::vector<std::string> words_in(std::string const& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string w; in >> w;) words.push_back(w);
  return words;
}

// "+0.2 stack: > …"
Step parse_step(std::string text, int line) {
  Step s;
  s.line = line;
  for (;;) {
    if (text.starts_with("stack:") || text.starts_with("linux:")) {
      s.whom = text[0] == 's' ? Whom::Stack : Whom::Linux;
      text = trimmed(text.substr(6));
    } else if (text[0] == '+' || text[0] == '~') {
      s.at_most = text[0] == '~';
      size_t used = 0;
      s.after_s = std::stod(text.substr(1), &used);
      text = trimmed(text.substr(1 + used));
    } else {
      break;
    }
    if (text.empty()) break;
  }
  s.text = text;
  return s;
}

// What a case says of itself; false: it is a step.
bool parse_attribute(Case& c, std::vector<std::string> const& words) {
  if (words[0] == "on") {
    c.v4 = std::ranges::find(words, "v4") != words.end();
    c.v6 = std::ranges::find(words, "v6") != words.end();
  } else if (words[0] == "only" && words.size() >= 2) {
    c.whom = words[1] == "linux" ? Whom::Linux : Whom::Stack;
  } else if (words[0] == "slow" && words.size() == 1) {
    c.slow = true;
  } else if (words[0] == "mtu" && words.size() == 2) {
    c.mtu = static_cast<unsigned>(std::stoul(words[1]));
  } else if (words[0] == "unnumbered" && words.size() == 1) {
    c.addresses = false;
  } else if (words[0] == "autoconf" && words.size() == 1) {
    c.autoconfigure = true;
  } else if (words[0] == "show") {
    c.shown.assign(words.begin() + 1, words.end());
  } else {
    return false;
  }
  return true;
}

}  // namespace

std::vector<Case> read_cases(std::string const& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error(path + ": cannot be read");
  std::vector<Case> cases;
  int number = 0;
  for (std::string raw; std::getline(in, raw);) {
    ++number;
    std::string const text = trimmed(without_comment(raw));
    if (text.empty()) continue;
    auto const words = words_in(text);
    if (words[0] == "case" && words.size() == 2) {
      Case c;
      c.file = path;
      c.name = words[1];
      c.line = number;
      cases.push_back(std::move(c));
    } else if (cases.empty()) {
      throw std::runtime_error(fmt::format("{}:{}: a step before the first case", path, number));
    } else if (!cases.back().steps.empty() || !parse_attribute(cases.back(), words)) {
      cases.back().steps.push_back(parse_step(text, number));
    }
  }
  return cases;
}

}  // namespace cofferdam::wire
