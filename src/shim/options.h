// How the shim calls the runtime: from what the engine hands over, and from a configuration file of our own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/outcome.h"

namespace cofferdam::shim {

struct RuntimeOptions {
  std::string binary;                // empty: beside the shim, else in PATH
  std::string root;                  // directory of the records; empty: one of this shim's own
  std::string shim_cgroup;           // the shim itself goes there
  std::vector<std::string> globals;  // further options of the runtime, before its command
};

// `type` and `value` as a google.protobuf.Any has them: options of runc's shim, or (CRI, for a shim that it does not
// know) the path or text of a file. Empty `type`: the defaults.
Outcome<RuntimeOptions> decode_options(std::string_view type, std::string_view value);

// The file: lines KEY = "VALUE" or KEY = true, a subset of TOML. docs/engines.md has the keys.
Outcome<RuntimeOptions> parse_options(std::string_view text, std::string_view name);

// What `delete` needs when the shim is gone, as a file in the bundle.
Outcome<> save_options(std::string const& bundle, RuntimeOptions const& options);
RuntimeOptions load_options(std::string const& bundle);  // the defaults if there is none

std::string own_program();  // path of the shim itself
// The binary to run and the records of a containerd namespace.
std::string runtime_binary(RuntimeOptions const& options);
std::string record_root(RuntimeOptions const& options, std::string const& name_space);

}  // namespace cofferdam::shim
