// The pages of this program's own text.
#pragma once

namespace cofferdam::host {

// Takes every page of the program's text out of this process's page table; what is needed again comes back from the
// page cache by a minor fault. For a process that has done what most of its code was for.
void let_go_of_text();

}  // namespace cofferdam::host
