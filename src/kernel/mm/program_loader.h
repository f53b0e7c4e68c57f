// execve's program loading: ELF (static, PIE, dynamic), scripts, the initial stack and auxiliary vector.
#pragma once

#include <string>
#include <vector>

#include "base/ref.h"
#include "base/result.h"
#include "kernel/cred/credentials.h"
#include "kernel/mm/memory_manager.h"
#include "kernel/vfs/file.h"
#include "platform/platform.h"

namespace cofferdam::kernel {

class Kernel;
class Task;

struct ProgramArguments {
  Ref<File> executable;  // from Vfs::open_executable
  std::string path;      // as given to execve (AT_EXECFN, $0 of scripts)
  std::vector<std::string> arguments, environment;
  Ref<Credentials const> credentials;  // for AT_UID …, AT_SECURE
  bool secure = false;
  uint64_t stack_limit = 8u << 20, address_space_limit = UINT64_MAX;
  bool randomize = true;
};

struct LoadedProgram {
  Ref<MemoryManager> mm;
  std::unique_ptr<platform::Context> context;  // registers set to the entry point
  Ref<File> executable;                        // the ELF file itself (the interpreter of a script), for /proc/PID/exe
  std::string name;                            // comm
};

// Opens a script's interpreter or PT_INTERP by path on behalf of the task.
// Errors as execve(2): ENOEXEC, ENOENT (interpreter), ELIBBAD, E2BIG, ENOMEM, ELOOP (five scripts deep), EACCES.
Result<LoadedProgram> load_program(Kernel&, Task& opener, ProgramArguments);

}  // namespace cofferdam::kernel
