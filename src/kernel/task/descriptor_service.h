// Leaving calls on a descriptor to the platform: read(2), write(2), lseek(2) and pread64(2) that need nothing of the
// kernel are answered where the guest runs (architecture, 4.3).
//
// It is offered after some uses of a description, and only where what the platform sees is all there is to see: nobody
// watches the file system, no filter and no trace wants the calls, and all threads of the address space mean the same
// by the number. What changes any of it stops the service first.
#pragma once

#include "kernel/task/task.h"

namespace cofferdam::kernel {

// After a call of the task's on this descriptor that File::is_service_due() for.
void offer_descriptor_service(Task&, int fd, File&);

// Of the platform's answers so far, for /proc/PID/io.
platform::DescriptorServices::Counts served_counts(Task&);

}  // namespace cofferdam::kernel
