// Cases: what is injected, expected and called, in order.
#pragma once

#include <string>
#include <vector>

namespace cofferdam::wire {

enum class Whom { Both, Stack, Linux };

struct Step {
  int line = 0;
  std::string text;        // without its time and what it is for
  double after_s = -1;     // "+0.2": when, counted from the step before; negative: at once
  bool at_most = false;    // "~0.2": by then
  Whom whom = Whom::Both;  // "stack:", "linux:"
};

struct Case {
  std::string file, name;
  int line = 0;
  bool v4 = true, v6 = false;  // which families it is run for
  Whom whom = Whom::Both;
  bool slow = false;  // takes seconds on a real clock
  unsigned mtu = 1500;
  bool addresses = true;
  bool autoconfigure = false;
  std::vector<std::string> shown;  // protocols that are not left to the peer's own answers: arp, ndp, igmp, mld
  std::vector<Step> steps;
};

// Throws std::runtime_error that says where and why.
std::vector<Case> read_cases(std::string const& path);

// Runs it. Empty: it passed; else what went wrong.
std::string run_case(Case const&, bool v4, bool on_linux, bool verbose);

}  // namespace cofferdam::wire
