// What the jail sets before it closes (src/jail/privileges.h).
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "jail/privileges.h"

namespace cofferdam::jail {
namespace {

// How many descriptors the host has room for without making the table larger.
int table_size() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("FDSize:")) return std::stoi(line.substr(7));
  return -1;
}

TEST(JailLimits, the_table_of_descriptors_has_room_before_the_stubs_share_it) {
  pid_t const child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    set_limits();
    ::_exit(table_size() >= static_cast<int>(std::min<long>(::sysconf(_SC_OPEN_MAX), 4096)) ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace cofferdam::jail
