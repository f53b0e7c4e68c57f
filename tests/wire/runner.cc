// Goes through the steps of a case.
#include <algorithm>
#include <set>
#include <stdexcept>

#include <fmt/core.h>
#include <fmt/format.h>

#include "fields.h"
#include "netstack/headers.h"
#include "script.h"
#include "sockets.h"
#include "subject.h"

namespace cofferdam::wire {

using namespace netstack;

namespace {

// What a host says unasked, or asks its neighbours: left to the peer's own answers unless a case shows it.
std::set<std::string> const background{"arp", "ns", "na", "rs", "mld", "igmp"};

class Run {
 public:
  Run(Case const& c, bool v4, bool on_linux, bool verbose) : case_(c), on_linux_(on_linux), verbose_(verbose) {
    context_.v4 = v4;
    Setup setup;
    setup.v4 = v4;
    setup.mtu = c.mtu;
    setup.addresses = c.addresses;
    setup.autoconfigure = c.autoconfigure;
    setup.neighbours = c.addresses && std::ranges::find(c.shown, "arp") == c.shown.end() &&
                       std::ranges::find(c.shown, "ns") == c.shown.end();
    subject_ = on_linux ? make_linux_subject(setup) : make_stack_subject(setup);
    last_ = subject_->now();
  }

  // Empty: passed.
  std::string run() {
    for (Step const& s : case_.steps) {
      if (s.whom != Whom::Both && (s.whom == Whom::Linux) != on_linux_) continue;
      std::string wrong;
      try {
        wrong = step(s);
      } catch (std::exception const& e) {
        wrong = e.what();
      }
      if (!wrong.empty()) return fmt::format("{}:{}: {}\n    {}", case_.file, s.line, s.text, wrong);
    }
    if (auto extra = next(subject_->now() + 2 * millisecond))
      return fmt::format("{}:{}: at its end something more was sent: {}", case_.file, case_.line,
                         text_of(extra->fields));
    return {};
  }

 private:
  struct Seen {
    Fields fields;
    Time at = 0;
  };

  std::string step(Step const& s) {
    if (s.text[0] == '>') return expect(s);
    if (s.text.starts_with("quiet")) return quiet(s);
    if (s.text.starts_with("settle")) return settle(s);
    if (s.after_s >= 0) subject_->wait_until(last_ + time_of(s.after_s));
    if (s.text[0] == '<') return inject(s.text.substr(1));
    return call(s);
  }

  static Time time_of(double seconds) { return static_cast<Time>(seconds * static_cast<double>(second)); }

  std::string inject(std::string const& what) {
    auto const frame = build_frame(parse_fields(what), context_);
    if (verbose_) fmt::print("    {:9.3f} <{}\n", clock(), what);
    last_ = subject_->now();
    subject_->inject(frame);
    return {};
  }

  double clock() { return static_cast<double>(subject_->now() % (1000 * second)) / static_cast<double>(second); }

  // Answers of the peer to what every host asks.
  void answer(Fields const& f) {
    std::string const protocol = word(f, "protocol", "");
    Fields reply;
    if (protocol == "arp" && word(f, "kind", "") == "request" && word(f, "tpa", "") != "10.0.0.1") {
      reply = parse_fields("arp reply tha own");
      reply["spa"] = f.at("tpa");
      reply["tpa"] = word(f, "spa", "");
    } else if (protocol == "ns" && word(f, "target", "") != "fd00::1" && word(f, "src", "::") != "::") {
      reply = parse_fields("na solicited override tllao peer");
      reply["target"] = reply["src"] = f.at("target");
      reply["dst"] = f.at("src");
    } else {
      return;
    }
    Context aside;
    aside.v4 = protocol == "arp";
    subject_->inject(build_frame(reply, aside));
  }

  // The next frame that the case is to see.
  std::optional<Seen> next(Time until) {
    while (auto frame = subject_->next(until)) {
      Context before = context_;
      Fields f = describe_frame(frame->bytes, context_);
      std::string const protocol = f["protocol"];
      if (background.contains(protocol) && std::ranges::find(case_.shown, protocol) == case_.shown.end()) {
        context_ = before;
        answer(f);
        continue;
      }
      if (verbose_)
        fmt::print("    {:9.3f} > {}\n", static_cast<double>(frame->at % (1000 * second)) / static_cast<double>(second),
                   text_of(f));
      if (f.contains("proto"))
        context_.last_sent.assign(frame->bytes.begin() + EthernetHeader::size, frame->bytes.end());
      return Seen{std::move(f), frame->at};
    }
    return std::nullopt;
  }

  std::string expect(Step const& s) {
    Fields const wanted = parse_fields(std::string_view(s.text).substr(1));
    auto const tolerance = subject_->tolerance();
    Time const interval = s.after_s < 0 ? 0 : time_of(s.after_s);
    auto const slack = static_cast<Time>(static_cast<double>(interval) * tolerance.share);
    Time const earliest = last_ + interval - tolerance.early - slack,
               latest = last_ + interval + tolerance.late + slack;
    auto const seen = next(latest);
    if (!seen) return "nothing was sent";
    if (word(seen->fields, "broken", "").empty() == false) return "a broken packet: " + text_of(seen->fields);
    if (seen->at < earliest && s.after_s > 0 && !s.at_most)
      return fmt::format("it came {:.3f} s after the step before, too early",
                         static_cast<double>(seen->at - last_) / static_cast<double>(second));
    std::string const wrong = difference(wanted, seen->fields);
    if (!wrong.empty()) return wrong + "\n    in: " + text_of(seen->fields);
    last_ = seen->at;
    return {};
  }

  std::string quiet(Step const& s) {
    Time const until = last_ + time_of(std::stod(s.text.substr(5)));
    auto const seen = next(until);
    if (seen) return "something was sent: " + text_of(seen->fields);
    subject_->wait_until(until);
    last_ = until;
    return {};
  }

  // What is sent meanwhile does not matter.
  std::string settle(Step const& s) {
    Time const until = last_ + time_of(std::stod(s.text.substr(6)));
    while (next(until)) continue;
    subject_->wait_until(until);
    last_ = until;
    return {};
  }

  std::string call(Step const& s) {
    size_t const arrow = s.text.find("->");
    std::string expected = arrow == std::string::npos ? "" : s.text.substr(arrow + 2);
    while (!expected.empty() && expected.front() == ' ') expected.erase(0, 1);
    Words words = split(s.text.substr(0, arrow));
    bool const text = !expected.empty() && expected[0] == '"';
    if (words[0] == "read" && text) words.emplace_back("text");
    if (text) expected = unescaped(expected.substr(0, expected.size() - 1));
    last_ = subject_->now();
    std::string const got = subject_->call(words);
    if (verbose_) fmt::print("    {:9.3f} {} -> {}\n", clock(), s.text, got);
    if (expected.empty() && got.size() > 1 && got[0] == 'E' && std::isupper(static_cast<unsigned char>(got[1])))
      return "gave " + got;
    if (!expected.empty() && got != expected) return fmt::format("gave {}", printable(got));
    return {};
  }

  // Words, where a quoted text is one with its first quote.
  static Words split(std::string const& text) {
    Words words;
    for (size_t at = 0; at < text.size();) {
      if (text[at] == ' ') {
        ++at;
        continue;
      }
      char const closing = text[at] == '"' ? '"' : ' ';
      size_t const end = std::min(text.find(closing, at + 1), text.size());
      words.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    return words;
  }

  Case const& case_;
  bool const on_linux_, verbose_;
  Context context_;
  std::unique_ptr<Subject> subject_;
  Time last_ = 0;
};

}  // namespace

std::string run_case(Case const& c, bool v4, bool on_linux, bool verbose) {
  try {
    return Run(c, v4, on_linux, verbose).run();
  } catch (std::exception const& e) {
    return fmt::format("{}:{}: {}", c.file, c.line, e.what());
  }
}

}  // namespace cofferdam::wire
