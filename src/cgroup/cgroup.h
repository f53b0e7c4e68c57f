// The control groups of one container: made, limited, joined and removed. Version 1, version 2 and the mix of both.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/outcome.h"
#include "oci/spec.h"

namespace cofferdam::cgroup {

// The directories that create() would make or join, leaf first, and parents only where they are not there yet: what has
// to be removed afterwards.
Outcome<std::vector<std::string>> plan(std::string const& path, std::string const& container_id,
                                       oci::Resources const& limits);
// Makes the directories of `path` (linux.cgroupsPath; "slice:prefix:name" too) in every hierarchy that the resources
// need and writes the limits; on failure nothing is left. An empty path with no limits: no cgroup.
Outcome<> create(std::string const& path, std::string const& container_id, oci::Resources const& limits);
// Changes the limits that are given; the others stay.
Outcome<> update(std::vector<std::string> const& directories, oci::Resources const& limits);
Outcome<> add_process(std::vector<std::string> const& directories, pid_t pid);
// Those in the first of the leaves.
std::vector<pid_t> processes(std::vector<std::string> const& directories);
// Removes them; waits a bounded time for processes that are ending.
void remove(std::vector<std::string> const& directories);

}  // namespace cofferdam::cgroup
