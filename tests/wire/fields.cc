#include "fields.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <stdexcept>

#include <fmt/format.h>

namespace cofferdam::wire {

using namespace netstack;

Address address_of(std::string const& text) {
  std::array<std::byte, 16> b{};
  if (::inet_pton(AF_INET, text.c_str(), b.data()) == 1) return Address::v4(load32(Bytes(b), 0));
  if (::inet_pton(AF_INET6, text.c_str(), b.data()) == 1) return Address::v6(b);
  throw std::runtime_error(fmt::format("'{}' is no address", text));
}

std::string default_address(bool own, bool v4) {
  if (v4) return own ? "10.0.0.1" : "10.0.0.2";
  return own ? "fd00::1" : "fd00::2";
}

char pattern_at(uint32_t sequence) { return static_cast<char>('a' + sequence * 7919u % 26u); }

uint32_t number(Fields const& f, std::string const& key, uint32_t fallback) {
  auto const at = f.find(key);
  if (at == f.end()) return fallback;
  return static_cast<uint32_t>(std::stoul(at->second, nullptr, 0));
}

std::string word(Fields const& f, std::string const& key, std::string const& fallback) {
  auto const at = f.find(key);
  return at == f.end() ? fallback : at->second;
}

std::vector<std::byte> from_hex(std::string_view text) {
  std::vector<std::byte> b;
  std::string digits;
  for (char const c : text)
    if (std::isxdigit(static_cast<unsigned char>(c))) digits += c;
  for (size_t i = 0; i + 1 < digits.size(); i += 2)
    b.push_back(static_cast<std::byte>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  return b;
}

std::string to_hex(Bytes b) {
  std::string text;
  for (std::byte const x : b) text += fmt::format("{:02x}", static_cast<unsigned>(x));
  return text;
}

// --- words of a case ---

namespace {

// Words, quoted texts (with their first quote), and option lists "<…>" (with their first bracket).
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    if (std::isspace(static_cast<unsigned char>(text[at]))) {
      ++at;
      continue;
    }
    char const closing = text[at] == '"' ? '"' : text[at] == '<' ? '>' : ' ';
    size_t end = text.find(closing, at + 1);
    if (end == std::string_view::npos) {
      if (closing != ' ') throw std::runtime_error(fmt::format("no closing {}", closing));
      end = text.size();
    }
    words.emplace_back(text.substr(at, end - at));
    at = closing == ' ' ? end : end + 1;
  }
  return words;
}

bool is_flags(std::string const& word) {
  return !word.empty() && word.find_first_not_of("SFRPAUEW.") == std::string::npos;
}

// In one order, whatever the case has.
std::string ordered_flags(std::string const& flags) {
  std::string ordered;
  for (char const c : std::string_view("SFRPAUEW"))
    if (flags.find(c) != std::string::npos || (c == 'A' && flags.find('.') != std::string::npos)) ordered += c;
  return ordered;
}

void parse_tcp_options(std::string_view list, Fields& f) {
  f["options"] = std::string(list);
  while (!list.empty()) {
    std::string_view const one = list.substr(0, list.find(','));
    list.remove_prefix(std::min(one.size() + 1, list.size()));
    auto const words = words_of(one);
    if (words.empty() || words[0] == "nop" || words[0] == "eol" || words[0] == "hex") continue;
    if (words[0] == "no" && words.size() == 2) {
      f[words[1]] = "none";
    } else if (words[0] == "sackOK") {
      f["sackOK"] = "yes";
    } else if (words[0] == "sack") {
      std::string blocks;
      for (size_t i = 1; i < words.size(); ++i) blocks += (i == 1 ? "" : " ") + words[i];
      f["sack"] = blocks;
    } else if (words[0] == "TS" && words.size() == 5) {
      if (words[2] != "any") f["ts"] = words[2];
      if (words[4] != "any") f["ecr"] = words[4];
    } else if (words.size() == 2) {
      f[words[0]] = words[1];
    } else {
      throw std::runtime_error(fmt::format("option '{}' is not understood", one));
    }
  }
}

// "1:11(10)"
bool parse_range(std::string const& text, Fields& f) {
  size_t const colon = text.find(':'), bracket = text.find('(');
  if (colon == std::string::npos || bracket == std::string::npos || text.back() != ')') return false;
  if (!std::isdigit(static_cast<unsigned char>(text[0]))) return false;
  f["seq"] = text.substr(0, colon);
  f["len"] = text.substr(bracket + 1, text.size() - bracket - 2);
  auto const length = std::stoul(text.substr(colon + 1, bracket - colon - 1)) - std::stoul(f["seq"]);
  if (length != std::stoul(f["len"])) throw std::runtime_error(fmt::format("{}: the length is another", text));
  return true;
}

std::set<std::string> const yes_words{"df", "mf", "solicited", "override", "router", "suppress", "vlan"};

}  // namespace

Fields parse_fields(std::string_view text) {
  auto const words = words_of(text);
  if (words.empty()) throw std::runtime_error("no packet");
  Fields f;
  size_t at = 1;
  bool const tcp = is_flags(words[0]);
  f["protocol"] = tcp ? "tcp" : words[0];
  if (tcp) f["flags"] = ordered_flags(words[0]);
  bool const has_kind = words[0] == "icmp" || words[0] == "igmp" || words[0] == "mld" || words[0] == "arp";
  if (has_kind && at < words.size()) f["kind"] = words[at++];
  for (; at < words.size(); ++at) {
    std::string const& w = words[at];
    if (w[0] == '"') {
      f["data"] = w.substr(1);
    } else if (w[0] == '<') {
      parse_tcp_options(std::string_view(w).substr(1), f);
    } else if (tcp && parse_range(w, f)) {
      continue;
    } else if (yes_words.contains(w)) {
      bool const said = at + 1 < words.size() && (words[at + 1] == "yes" || words[at + 1] == "none");
      f[w] = said ? words[++at] : "yes";
    } else if (at + 1 < words.size()) {
      std::string const& value = words[++at];
      f[w] = value[0] == '"' ? value.substr(1) : value;
    } else {
      throw std::runtime_error(fmt::format("'{}' says nothing", w));
    }
  }
  if (f.contains("data") && !f.contains("len")) f["len"] = std::to_string(f["data"].size());
  return f;
}

std::string difference(Fields const& wanted, Fields const& found) {
  std::string text;
  auto note = [&](std::string const& key, std::string const& want, std::string const& have) {
    text += fmt::format("{}{}: wanted {}, found {}", text.empty() ? "" : "; ", key, want, have);
  };
  for (auto const& [key, want] : wanted) {
    if (key == "options") continue;
    std::string const have = word(found, key, "none");
    if (key == "flags") {  // PSH only where the case speaks of it
      std::string plain = have;
      if (want.find('P') == std::string::npos) std::erase(plain, 'P');
      if (plain != want) note(key, want, have);
    } else if (want == "any") {
      if (!found.contains(key)) note(key, want, have);
    } else if (want.size() > 1 && (want[0] == '>' || want[0] == '<') && have != "none") {
      long const bound = std::stol(want.substr(1)), value = std::stol(have);
      if (want[0] == '>' ? value <= bound : value >= bound) note(key, want, have);
    } else if (want != have) {
      note(key, want, have);
    }
  }
  bool const bytes = wanted.contains("len") && wanted.at("len") != "0" && !wanted.contains("data");
  if (bytes && word(wanted, "protocol", "") == "tcp" && word(found, "pattern", "yes") != "yes")
    note("data", "the stream's", "other bytes");
  return text;
}

std::string text_of(Fields const& f) {
  std::string text = word(f, "protocol", "?");
  for (auto const& [key, value] : f) {
    if (key == "protocol" || key == "pattern") continue;
    bool const long_data = key == "data" && value.size() > 40;
    text += fmt::format(" {} {}", key, long_data ? fmt::format("({} bytes)", value.size()) : value);
  }
  return text;
}

}  // namespace cofferdam::wire
