// All handlers, by family.
#pragma once

#include "syscalls/handlers_descriptor.h"
#include "syscalls/handlers_directory.h"
#include "syscalls/handlers_file.h"
#include "syscalls/handlers_futex.h"
#include "syscalls/handlers_identity.h"
#include "syscalls/handlers_ipc.h"
#include "syscalls/handlers_memory.h"
#include "syscalls/handlers_mount.h"
#include "syscalls/handlers_poll.h"
#include "syscalls/handlers_process.h"
#include "syscalls/handlers_signal.h"
#include "syscalls/handlers_socket.h"
#include "syscalls/handlers_system.h"
#include "syscalls/handlers_terminal.h"
#include "syscalls/handlers_time.h"
