#include "sentry/network.h"

#include <arpa/inet.h>
#include <stdio.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace cofferdam::sentry {

namespace {

std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  while (!line.empty()) {
    size_t const end = std::min(line.find(' '), line.size());
    if (end != 0) words.emplace_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

std::unexpected<std::string> malformed(std::string_view line) {
  return refuse(fmt::format("network of the container: '{}' is not understood", line));
}

std::string text_of(netstack::Prefix const& p) { return fmt::format("{}/{}", p.address.text(), p.length); }

Outcome<inet::HostLink> parse_link(std::vector<std::string> const& words, std::string_view line) {
  if (words.size() < 5 || (words[4] != "autoconf" && words[4] != "static")) return malformed(line);
  inet::HostLink link;
  link.name = words[1];
  auto& h = link.hardware;
  if (sscanf(words[2].c_str(), "%u", &link.mtu) != 1 ||
      sscanf(words[3].c_str(), "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &h[0], &h[1], &h[2], &h[3], &h[4], &h[5]) != 6)
    return malformed(line);
  link.autoconfigure = words[4] == "autoconf";
  for (size_t n = 5; n < words.size(); ++n) link.addresses.push_back(ATTEMPT(parse_prefix(words[n])));
  return link;
}

Outcome<netstack::Route> parse_route(std::vector<std::string> const& words, std::string_view line) {
  netstack::Route route;
  if (words.size() != 6 || sscanf(words[1].c_str(), "%u", &route.interface) != 1 ||
      sscanf(words[5].c_str(), "%u", &route.metric) != 1)
    return malformed(line);
  route.destination = ATTEMPT(parse_prefix(words[2]));
  route.gateway = ATTEMPT(parse_address(words[3]));
  route.source = ATTEMPT(parse_address(words[4]));
  return route;
}

}  // namespace

Outcome<netstack::Address> parse_address(std::string const& text) {
  std::array<std::byte, 16> bytes{};
  if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1)
    return netstack::Address::v4(netstack::load32(netstack::Bytes(bytes), 0));
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return netstack::Address::v6(bytes);
  return refuse(fmt::format("'{}' is no IP address", text));
}

Outcome<netstack::Prefix> parse_prefix(std::string const& text) {
  size_t const slash = text.find('/');
  netstack::Prefix prefix;
  prefix.address = ATTEMPT(parse_address(text.substr(0, slash)));
  unsigned const whole = prefix.address.is_v4() ? 32 : 128;
  unsigned length = whole;
  if (slash != std::string::npos && (sscanf(text.c_str() + slash, "/%u", &length) != 1 || length > whole))
    return refuse(fmt::format("'{}' is no prefix of addresses", text));
  prefix.length = static_cast<uint8_t>(length);
  return prefix;
}

std::string print(NetworkSetup const& setup) {
  std::string text;
  for (auto const& l : setup.links) {
    text += fmt::format("link {} {} {:02x} {}", l.name, l.mtu, fmt::join(l.hardware, ":"),
                        l.autoconfigure ? "autoconf" : "static");
    for (auto const& prefix : l.addresses) text += " " + text_of(prefix);
    text += "\n";
  }
  for (auto const& r : setup.routes)
    text += fmt::format("route {} {} {} {} {}\n", r.interface, text_of(r.destination), r.gateway.text(),
                        r.source.text(), r.metric);
  return text;
}

Outcome<NetworkSetup> parse_network(std::string_view text, std::vector<host::OwnedFd> sockets) {
  NetworkSetup setup;
  while (!text.empty()) {
    std::string_view const line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    auto const words = words_of(line);
    if (!words.empty() && words[0] == "link") {
      if (setup.links.size() == sockets.size()) return refuse("network of the container: a link without a socket");
      auto link = ATTEMPT(parse_link(words, line));
      link.socket = std::move(sockets[setup.links.size()]);
      setup.links.push_back(std::move(link));
    } else if (!words.empty() && words[0] == "route") {
      setup.routes.push_back(ATTEMPT(parse_route(words, line)));
    } else {
      return malformed(line);
    }
  }
  return setup;
}

}  // namespace cofferdam::sentry
