// Standard input, output and error of a process, as containerd names them: FIFOs (which it makes), files, or a program
// that logs. The container gets them as they are: no byte passes through the shim.
#pragma once

#include <string>

#include "base/outcome.h"
#include "host/fd.h"

namespace cofferdam::shim {

struct StdioPaths {
  std::string in, out, err;
  bool terminal = false;
};

// What belongs to one stream. `mine`: the other end, held so that readers and writers on containerd's side may come and
// go: an input has no end of file until it is closed, an output never meets a broken pipe.
struct Stream {
  host::OwnedFd theirs, mine;
};

struct LogProgram {
  std::string container_id, name_space;
};

class Stdio {
 public:
  static Outcome<Stdio> open(StdioPaths const& paths, LogProgram const& names);
  // The same descriptor for input and output.
  static Stdio of_connection(host::OwnedFd connection);
  // Of stream 0, 1 or 2; -1: /dev/null.
  int descriptor(int n) const { return streams_[n].theirs.get(); }
  // The process has its own now.
  void given_away();
  // Nobody of the shim's writes to standard input any more.
  void close_input() { streams_[0].mine.reset(); }
  Stream& stream(int n) { return streams_[n]; }

 private:
  Stream streams_[3];
};

}  // namespace cofferdam::shim
