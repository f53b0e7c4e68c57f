// mmap, munmap, mprotect, mremap, brk, madvise, mincore, msync, mlock, memfd_create.
#define CONFORMANCE_FILES
#include "conformance.h"

#include <linux/mman.h>
#include <setjmp.h>
#include <sys/resource.h>
#include <sys/uio.h>

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

static sigjmp_buf fault_jump;
static volatile int fault_signal, fault_code;
static void* volatile fault_address;

static void on_fault(int signal, siginfo_t* info, void* context) {
  fault_signal = signal;
  fault_code = info->si_code;
  fault_address = info->si_addr;
  siglongjmp(fault_jump, 1);
}

static void catch_faults(void) {
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
}

// The signal that reading (or writing) one byte raises, or 0.
static int fault_of_read(volatile char* at) {
  fault_signal = 0;
  if (sigsetjmp(fault_jump, 1) == 0) (void)*at;
  return fault_signal;
}
static int fault_of_write(volatile char* at) {
  fault_signal = 0;
  if (sigsetjmp(fault_jump, 1) == 0) *at = 1;
  return fault_signal;
}

CASE(anonymous_memory_is_zero) {
  char* p = MAP(NULL, 4 * PAGE, RW, ANON, -1, 0);
  for (int i = 0; i < 4 * PAGE; i++) EXPECT_EQ(p[i], 0);
}

CASE(length_zero_is_einval) { EXPECT_ERRNO((long)mmap(NULL, 0, RW, ANON, -1, 0), EINVAL); }

CASE(neither_private_nor_shared_is_einval) { EXPECT_ERRNO((long)mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL); }

CASE(length_beyond_the_address_space_is_enomem) {
  EXPECT_ERRNO((long)mmap(NULL, (size_t)1 << 50, RW, ANON, -1, 0), ENOMEM);
  EXPECT_ERRNO((long)mmap(NULL, (size_t)-1, RW, ANON, -1, 0), ENOMEM);
}

CASE(offset_not_of_a_page_is_einval) {
  int fd = (int)OK(open("f", O_RDWR | O_CREAT, 0600));
  EXPECT_ERRNO((long)syscall(SYS_mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 100), EINVAL);
}

CASE(bad_descriptor_is_ebadf) { EXPECT_ERRNO((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 999, 0), EBADF); }

CASE(descriptor_opened_for_writing_only_is_eacces) {
  int fd = (int)OK(open("f", O_WRONLY | O_CREAT, 0600));
  EXPECT_ERRNO((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), EACCES);
}

CASE(shared_writable_map_of_read_only_descriptor_is_eacces) {
  write_file("f", "x");
  int fd = (int)OK(open("f", O_RDONLY));
  EXPECT_ERRNO((long)mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), EACCES);
}

CASE(directory_is_enodev) {
  int fd = (int)OK(open(".", O_RDONLY | O_DIRECTORY));
  EXPECT_ERRNO((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), ENODEV);
}

CASE(fixed_at_an_odd_address_is_einval) {
  EXPECT_ERRNO((long)mmap((void*)0x10000001, PAGE, RW, ANON | MAP_FIXED, -1, 0), EINVAL);
}

CASE(fixed_replaces_what_was_there) {
  char* p = MAP(NULL, 3 * PAGE, RW, ANON, -1, 0);
  memset(p, 7, 3 * PAGE);
  EXPECT(mmap(p + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) == p + PAGE);
  EXPECT_EQ(p[0], 7);
  EXPECT_EQ(p[PAGE], 0);
  EXPECT_EQ(p[2 * PAGE], 7);
}

CASE(fixed_noreplace_over_a_mapping_is_eexist) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  EXPECT_ERRNO((long)mmap(p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
}

CASE(hint_is_taken_when_free) {
  char* p = MAP(NULL, 2 * PAGE, RW, ANON, -1, 0);
  OK(munmap(p, 2 * PAGE));
  EXPECT(mmap(p, PAGE, RW, ANON, -1, 0) == p);
}

CASE(hint_on_a_mapping_goes_elsewhere) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  char* q = MAP(p, PAGE, RW, ANON, -1, 0);
  EXPECT(p != q);
}

CASE(low_32_bit_address_on_request) {
  char* p = MAP(NULL, PAGE, RW, ANON | MAP_32BIT, -1, 0);
  EXPECT((uintptr_t)p + PAGE <= 0x80000000UL);
}

CASE(address_zero_is_refused_to_the_unprivileged) {
  if (geteuid() == 0) OK(setresuid(65534, 65534, 65534));
  EXPECT_ERRNO((long)mmap(0, PAGE, RW, ANON | MAP_FIXED, -1, 0), EPERM);
}

CASE(private_file_map_shows_the_file) {
  write_file("f", "content");
  int fd = (int)OK(open("f", O_RDONLY));
  char* p = MAP(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
  EXPECT_STR(p, "content");
}

CASE(file_map_outlives_its_descriptor) {
  write_file("f", "content");
  int fd = (int)OK(open("f", O_RDONLY));
  char* p = MAP(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  unlink("f");
  EXPECT_STR(p, "content");
}

CASE(private_writes_do_not_reach_the_file) {
  char text[16];
  write_file("f", "old");
  int fd = (int)OK(open("f", O_RDWR));
  char* p = MAP(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
  memcpy(p, "new", 3);
  EXPECT_EQ(pread(fd, text, 3, 0), 3);
  EXPECT(memcmp(text, "old", 3) == 0);
}

CASE(shared_writes_reach_the_file) {
  char text[16];
  write_file("f", "old");
  int fd = (int)OK(open("f", O_RDWR));
  char* p = MAP(NULL, PAGE, RW, MAP_SHARED, fd, 0);
  memcpy(p, "new", 3);
  EXPECT_EQ(pread(fd, text, 3, 0), 3);
  EXPECT(memcmp(text, "new", 3) == 0);
}

CASE(file_writes_reach_the_shared_map) {
  write_file("f", "old");
  int fd = (int)OK(open("f", O_RDWR));
  char* p = MAP(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
  EXPECT_STR(p, "old");
  EXPECT_EQ(pwrite(fd, "new", 3, 0), 3);
  EXPECT_STR(p, "new");
}

CASE(map_with_offset_shows_the_second_page) {
  static char block[2 * PAGE];
  memset(block, 'a', PAGE);
  memset(block + PAGE, 'b', PAGE);
  int fd = (int)OK(open("f", O_RDWR | O_CREAT, 0600));
  EXPECT_EQ(write(fd, block, sizeof block), sizeof block);
  char* p = MAP(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, PAGE);
  EXPECT_EQ(p[0], 'b');
}

CASE(last_page_of_a_file_is_filled_with_zeros) {
  write_file("f", "abc");
  int fd = (int)OK(open("f", O_RDONLY));
  char* p = MAP(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
  for (int i = 3; i < PAGE; i++) EXPECT_EQ(p[i], 0);
}

CASE(access_beyond_the_end_of_the_file_is_sigbus) {
  catch_faults();
  write_file("f", "abc");
  int fd = (int)OK(open("f", O_RDONLY));
  char* p = MAP(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
  EXPECT_EQ(fault_of_read(p), 0);
  EXPECT_EQ(fault_of_read(p + PAGE), SIGBUS);
  EXPECT_EQ(fault_code, BUS_ADRERR);
  EXPECT(fault_address == p + PAGE);
}

CASE(truncated_file_takes_its_pages_from_the_map) {
  static char block[2 * PAGE];
  catch_faults();
  int fd = (int)OK(open("f", O_RDWR | O_CREAT, 0600));
  EXPECT_EQ(write(fd, block, sizeof block), sizeof block);
  char* p = MAP(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
  EXPECT_EQ(fault_of_read(p + PAGE), 0);
  OK(ftruncate(fd, PAGE));
  EXPECT_EQ(fault_of_read(p + PAGE), SIGBUS);
}

CASE(shared_anonymous_memory_is_shared_with_children) {
  int* p = MAP(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t child = IN_CHILD({ *p = 42; });
  EXPECT_EXIT(child, 0);
  EXPECT_EQ(*p, 42);
}

CASE(private_memory_is_copied_to_children) {
  int* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  *p = 1;
  pid_t child = IN_CHILD({
    EXPECT_EQ(*p, 1);
    *p = 42;
  });
  EXPECT_EXIT(child, 0);
  EXPECT_EQ(*p, 1);
}

CASE(unmapped_memory_faults) {
  catch_faults();
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  *p = 1;
  OK(munmap(p, PAGE));
  EXPECT_EQ(fault_of_read(p), SIGSEGV);
  EXPECT_EQ(fault_code, SEGV_MAPERR);
  EXPECT(fault_address == p);
}

CASE(munmap_of_the_middle_leaves_the_ends) {
  catch_faults();
  char* p = MAP(NULL, 3 * PAGE, RW, ANON, -1, 0);
  p[0] = p[2 * PAGE] = 5;
  OK(munmap(p + PAGE, PAGE));
  EXPECT_EQ(p[0], 5);
  EXPECT_EQ(p[2 * PAGE], 5);
  EXPECT_EQ(fault_of_read(p + PAGE), SIGSEGV);
}

CASE(munmap_of_nothing_succeeds) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  OK(munmap(p, PAGE));
  EXPECT_EQ(munmap(p, PAGE), 0);
}

CASE(munmap_at_an_odd_address_is_einval) { EXPECT_ERRNO(munmap((void*)0x1001, PAGE), EINVAL); }

CASE(munmap_of_length_zero_is_einval) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  EXPECT_ERRNO(munmap(p, 0), EINVAL);
}

CASE(munmap_across_several_mappings_and_holes) {
  catch_faults();
  char* p = MAP(NULL, 8 * PAGE, RW, ANON, -1, 0);
  OK(munmap(p + 2 * PAGE, PAGE));
  OK(mprotect(p + 4 * PAGE, PAGE, PROT_READ));
  OK(munmap(p + PAGE, 6 * PAGE));
  EXPECT_EQ(fault_of_read(p), 0);
  EXPECT_EQ(fault_of_read(p + 4 * PAGE), SIGSEGV);
  EXPECT_EQ(fault_of_read(p + 7 * PAGE), 0);
}

CASE(no_access_faults_with_accerr) {
  catch_faults();
  char* p = MAP(NULL, PAGE, PROT_NONE, ANON, -1, 0);
  EXPECT_EQ(fault_of_read(p), SIGSEGV);
  EXPECT_EQ(fault_code, SEGV_ACCERR);
}

CASE(write_to_read_only_memory_faults) {
  catch_faults();
  char* p = MAP(NULL, PAGE, PROT_READ, ANON, -1, 0);
  EXPECT_EQ(fault_of_read(p), 0);
  EXPECT_EQ(fault_of_write(p), SIGSEGV);
  EXPECT_EQ(fault_code, SEGV_ACCERR);
}

CASE(mprotect_takes_and_gives_writing) {
  catch_faults();
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  *p = 3;
  OK(mprotect(p, PAGE, PROT_READ));
  EXPECT_EQ(fault_of_write(p), SIGSEGV);
  OK(mprotect(p, PAGE, RW));
  EXPECT_EQ(fault_of_write(p), 0);
}

CASE(mprotect_keeps_the_content) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  strcpy(p, "kept");
  OK(mprotect(p, PAGE, PROT_NONE));
  OK(mprotect(p, PAGE, PROT_READ));
  EXPECT_STR(p, "kept");
}

CASE(mprotect_of_a_hole_is_enomem) {
  char* p = MAP(NULL, 3 * PAGE, RW, ANON, -1, 0);
  OK(munmap(p + PAGE, PAGE));
  EXPECT_ERRNO(mprotect(p, 3 * PAGE, PROT_READ), ENOMEM);
}

CASE(mprotect_at_an_odd_address_is_einval) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  EXPECT_ERRNO(mprotect(p + 1, PAGE, PROT_READ), EINVAL);
}

CASE(mprotect_for_writing_of_a_shared_map_of_a_read_only_descriptor_is_eacces) {
  write_file("f", "x");
  int fd = (int)OK(open("f", O_RDONLY));
  char* p = MAP(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
  EXPECT_ERRNO(mprotect(p, PAGE, RW), EACCES);
}

CASE(mprotect_length_zero_succeeds) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  EXPECT_EQ(mprotect(p, 0, PROT_NONE), 0);
}

CASE(executable_memory_runs) {
  unsigned char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};  // mov $42, %eax; ret
  memcpy(p, code, sizeof code);
  OK(mprotect(p, PAGE, PROT_READ | PROT_EXEC));
  EXPECT_EQ(((int (*)(void))p)(), 42);
}

CASE(code_without_exec_permission_faults) {
  catch_faults();
  unsigned char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  *p = 0xc3;
  fault_signal = 0;
  if (sigsetjmp(fault_jump, 1) == 0) ((void (*)(void))p)();
  EXPECT_EQ(fault_signal, SIGSEGV);
  EXPECT_EQ(fault_code, SEGV_ACCERR);
}

CASE(code_rewritten_in_writable_executable_memory_runs_as_rewritten) {
  unsigned char* p = MAP(NULL, PAGE, RW | PROT_EXEC, ANON, -1, 0);
  static const unsigned char code[] = {0xb8, 1, 0, 0, 0, 0xc3};
  memcpy(p, code, sizeof code);
  EXPECT_EQ(((int (*)(void))p)(), 1);
  p[1] = 2;
  EXPECT_EQ(((int (*)(void))p)(), 2);
}

CASE(system_call_in_generated_code_works_again_and_again) {
  unsigned char* p = MAP(NULL, PAGE, RW | PROT_EXEC, ANON, -1, 0);
  static const unsigned char code[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};  // mov $39, %eax; syscall; ret
  memcpy(p, code, sizeof code);
  for (int i = 0; i < 100; i++) EXPECT_EQ(((int (*)(void))p)(), getpid());
}

CASE(mremap_grows_and_may_move) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  strcpy(p, "grow");
  char* q = mremap(p, PAGE, 64 * PAGE, MREMAP_MAYMOVE);
  EXPECT(q != MAP_FAILED);
  EXPECT_STR(q, "grow");
  q[64 * PAGE - 1] = 1;
  EXPECT_EQ(q[PAGE], 0);
}

CASE(mremap_that_cannot_grow_in_place_is_enomem) {
  char* p = MAP(NULL, 2 * PAGE, RW, ANON, -1, 0);
  OK(mprotect(p + PAGE, PAGE, PROT_READ));
  EXPECT_ERRNO((long)mremap(p, PAGE, 2 * PAGE, 0), ENOMEM);
}

CASE(mremap_shrinks_in_place) {
  catch_faults();
  char* p = MAP(NULL, 4 * PAGE, RW, ANON, -1, 0);
  EXPECT(mremap(p, 4 * PAGE, PAGE, 0) == p);
  EXPECT_EQ(fault_of_read(p), 0);
  EXPECT_EQ(fault_of_read(p + PAGE), SIGSEGV);
}

CASE(mremap_fixed_moves_to_the_address) {
  catch_faults();
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  char* q = MAP(NULL, PAGE, RW, ANON, -1, 0);
  strcpy(p, "moved");
  EXPECT(mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
  EXPECT_STR(q, "moved");
  EXPECT_EQ(fault_of_read(p), SIGSEGV);
}

CASE(mremap_fixed_onto_itself_is_einval) {
  char* p = MAP(NULL, 2 * PAGE, RW, ANON, -1, 0);
  EXPECT_ERRNO((long)mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE), EINVAL);
}

CASE(mremap_of_unmapped_memory_is_efault) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  OK(munmap(p, PAGE));
  EXPECT_ERRNO((long)mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
}

CASE(mremap_to_length_zero_is_einval) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  EXPECT_ERRNO((long)mremap(p, PAGE, 0, MREMAP_MAYMOVE), EINVAL);
}

CASE(mremap_of_a_file_map_keeps_showing_the_file) {
  static char block[4 * PAGE];
  for (int i = 0; i < 4; i++) memset(block + i * PAGE, 'a' + i, PAGE);
  int fd = (int)OK(open("f", O_RDWR | O_CREAT, 0600));
  EXPECT_EQ(write(fd, block, sizeof block), sizeof block);
  char* p = MAP(NULL, PAGE, PROT_READ, MAP_SHARED, fd, PAGE);
  char* q = mremap(p, PAGE, 3 * PAGE, MREMAP_MAYMOVE);
  EXPECT(q != MAP_FAILED);
  EXPECT_EQ(q[0], 'b');
  EXPECT_EQ(q[2 * PAGE], 'd');
}

CASE(mremap_dontunmap_leaves_an_empty_mapping) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  strcpy(p, "gone");
  char* q = mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
  EXPECT(q != MAP_FAILED && q != p);
  EXPECT_STR(q, "gone");
  EXPECT_EQ(p[0], 0);
}

CASE(brk_grows_and_shrinks) {
  catch_faults();
  char* start = (char*)syscall(SYS_brk, 0);
  char* end = start + 4 * PAGE;
  EXPECT_EQ(syscall(SYS_brk, end), (long)end);
  start[0] = 1;
  end[-1] = 1;
  EXPECT_EQ(syscall(SYS_brk, start), (long)start);
  char* page = (char*)(((uintptr_t)start + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
  EXPECT_EQ(fault_of_read(page), SIGSEGV);
}

CASE(brk_grown_again_is_zero) {
  char* start = (char*)(((uintptr_t)syscall(SYS_brk, 0) + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
  EXPECT_EQ(syscall(SYS_brk, start + PAGE), (long)(start + PAGE));
  start[10] = 9;
  EXPECT_EQ(syscall(SYS_brk, start), (long)start);
  EXPECT_EQ(syscall(SYS_brk, start + PAGE), (long)(start + PAGE));
  EXPECT_EQ(start[10], 0);
}

CASE(brk_below_the_start_changes_nothing) {
  long now = syscall(SYS_brk, 0);
  EXPECT_EQ(syscall(SYS_brk, 0x1000), now);
}

CASE(brk_beyond_rlimit_data_changes_nothing) {
  struct rlimit limit = {16 * 1024 * 1024, 16 * 1024 * 1024};
  OK(setrlimit(RLIMIT_DATA, &limit));
  long now = syscall(SYS_brk, 0);
  EXPECT_EQ(syscall(SYS_brk, now + 64 * 1024 * 1024), now);
}

CASE(rlimit_as_limits_mmap) {
  struct rlimit limit = {1 << 30, 1 << 30};
  OK(setrlimit(RLIMIT_AS, &limit));
  EXPECT_ERRNO((long)mmap(NULL, (size_t)2 << 30, RW, ANON, -1, 0), ENOMEM);
  MAP(NULL, PAGE, RW, ANON, -1, 0);
}

CASE(madvise_dontneed_zeroes_private_memory) {
  char* p = MAP(NULL, 2 * PAGE, RW, ANON, -1, 0);
  p[0] = p[PAGE] = 1;
  OK(madvise(p, PAGE, MADV_DONTNEED));
  EXPECT_EQ(p[0], 0);
  EXPECT_EQ(p[PAGE], 1);
}

CASE(madvise_dontneed_of_a_private_file_map_shows_the_file_again) {
  write_file("f", "file");
  int fd = (int)OK(open("f", O_RDONLY));
  char* p = MAP(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
  memcpy(p, "MINE", 4);
  OK(madvise(p, PAGE, MADV_DONTNEED));
  EXPECT_STR(p, "file");
}

CASE(madvise_of_a_hole_is_enomem) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  OK(munmap(p, PAGE));
  EXPECT_ERRNO(madvise(p, PAGE, MADV_DONTNEED), ENOMEM);
}

CASE(madvise_with_unknown_advice_is_einval) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  EXPECT_ERRNO(madvise(p, PAGE, 9999), EINVAL);
}

CASE(madvise_at_an_odd_address_is_einval) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  EXPECT_ERRNO(madvise(p + 1, PAGE, MADV_NORMAL), EINVAL);
}

CASE(madvise_harmless_advice_succeeds) {
  static const int advice[] = {MADV_NORMAL, MADV_RANDOM,   MADV_SEQUENTIAL, MADV_WILLNEED,
                               MADV_FREE,   MADV_HUGEPAGE, MADV_NOHUGEPAGE};
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  for (unsigned i = 0; i < sizeof advice / sizeof *advice; i++) EXPECT_EQ(madvise(p, PAGE, advice[i]), 0);
}

CASE(madvise_dontfork_keeps_memory_from_children) {
  catch_faults();
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  OK(madvise(p, PAGE, MADV_DONTFORK));
  pid_t child = IN_CHILD({ EXPECT_EQ(fault_of_read(p), SIGSEGV); });
  EXPECT_EXIT(child, 0);
}

CASE(madvise_wipeonfork_gives_children_zeros) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  *p = 9;
  OK(madvise(p, PAGE, MADV_WIPEONFORK));
  pid_t child = IN_CHILD({ EXPECT_EQ(*p, 0); });
  EXPECT_EXIT(child, 0);
  EXPECT_EQ(*p, 9);
}

CASE(mincore_tells_touched_pages) {
  unsigned char core[2] = {0, 0};
  char* p = MAP(NULL, 2 * PAGE, RW, ANON, -1, 0);
  OK(madvise(p, 2 * PAGE, MADV_NOHUGEPAGE));
  p[0] = 1;
  OK(mincore(p, 2 * PAGE, core));
  EXPECT_EQ(core[0] & 1, 1);
}

CASE(mincore_of_a_hole_is_enomem) {
  unsigned char core[1];
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  OK(munmap(p, PAGE));
  EXPECT_ERRNO(mincore(p, PAGE, core), ENOMEM);
}

CASE(mincore_to_a_bad_vector_is_efault) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  EXPECT_ERRNO(mincore(p, PAGE, (unsigned char*)8), EFAULT);
}

CASE(msync_of_a_shared_file_map_succeeds) {
  write_file("f", "x");
  int fd = (int)OK(open("f", O_RDWR));
  char* p = MAP(NULL, PAGE, RW, MAP_SHARED, fd, 0);
  *p = 'y';
  EXPECT_EQ(msync(p, PAGE, MS_SYNC), 0);
}

CASE(msync_of_a_hole_is_enomem) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  OK(munmap(p, PAGE));
  EXPECT_ERRNO(msync(p, PAGE, MS_SYNC), ENOMEM);
}

CASE(msync_sync_and_async_together_is_einval) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  EXPECT_ERRNO(msync(p, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
}

CASE(mlock_and_munlock_of_a_page) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  EXPECT_EQ(mlock(p, PAGE), 0);
  EXPECT_EQ(munlock(p, PAGE), 0);
}

CASE(mlock_of_a_hole_is_enomem) {
  char* p = MAP(NULL, PAGE, RW, ANON, -1, 0);
  OK(munmap(p, PAGE));
  EXPECT_ERRNO(mlock(p, PAGE), ENOMEM);
}

CASE(memfd_reads_and_writes_like_a_file) {
  char text[8] = {0};
  int fd = (int)OK(memfd_create("name", 0));
  EXPECT_EQ(write(fd, "mem", 3), 3);
  EXPECT_EQ(pread(fd, text, 8, 0), 3);
  EXPECT_STR(text, "mem");
}

CASE(memfd_map_is_shared_with_the_descriptor) {
  int fd = (int)OK(memfd_create("name", MFD_CLOEXEC));
  OK(ftruncate(fd, PAGE));
  char* p = MAP(NULL, PAGE, RW, MAP_SHARED, fd, 0);
  char* q = MAP(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
  strcpy(p, "shared");
  EXPECT_STR(q, "shared");
  char text[8] = {0};
  EXPECT_EQ(pread(fd, text, 6, 0), 6);
  EXPECT_STR(text, "shared");
}

CASE(memfd_has_its_name_in_proc) {
  char path[64], name[64] = {0};
  int fd = (int)OK(memfd_create("label", 0));
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  OK(readlink(path, name, sizeof name - 1));
  EXPECT_STR(name, "/memfd:label (deleted)");
}

CASE(memfd_seals_refuse_what_they_seal) {
  int fd = (int)OK(memfd_create("sealed", MFD_ALLOW_SEALING));
  OK(ftruncate(fd, PAGE));
  OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
  EXPECT_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  EXPECT_ERRNO(ftruncate(fd, 0), EPERM);
  EXPECT_ERRNO(ftruncate(fd, 2 * PAGE), EPERM);
  EXPECT_ERRNO(pwrite(fd, "x", 1, 0), EPERM);
}

CASE(memfd_without_allow_sealing_cannot_be_sealed) {
  int fd = (int)OK(memfd_create("plain", 0));
  EXPECT_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
}

CASE(memfd_with_a_shared_writable_map_cannot_be_write_sealed) {
  int fd = (int)OK(memfd_create("mapped", MFD_ALLOW_SEALING));
  OK(ftruncate(fd, PAGE));
  MAP(NULL, PAGE, RW, MAP_SHARED, fd, 0);
  EXPECT_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
}

CASE(memfd_unknown_flag_is_einval) { EXPECT_ERRNO(syscall(SYS_memfd_create, "x", 0x100), EINVAL); }

CASE(stack_grows_downwards) {
  volatile char* top = __builtin_frame_address(0);
  pid_t child = IN_CHILD({
    for (long below = PAGE; below < 1024 * 1024; below += PAGE) top[-below] = 1;
  });
  EXPECT_EXIT(child, 0);
}

CASE(stack_overflow_is_sigsegv) {
  struct rlimit limit = {256 * 1024, RLIM_INFINITY};
  OK(setrlimit(RLIMIT_STACK, &limit));
  volatile char* top = __builtin_frame_address(0);
  pid_t child = IN_CHILD({
    for (long below = PAGE; below < 64 * 1024 * 1024; below += PAGE) top[-below] = 1;
  });
  EXPECT_KILLED(child, SIGSEGV);
}

CASE(growsdown_map_grows) {
  // A free range below, so that the mapping has room to grow.
  char* area = MAP(NULL, 2048 * PAGE, PROT_NONE, ANON, -1, 0);
  OK(munmap(area, 2048 * PAGE));
  char* p = MAP(area + 1024 * PAGE, PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
  p[-1] = 1;
  EXPECT_EQ(p[-1], 1);
}

CASE(populate_maps_at_once) {
  unsigned char core[4];
  char* p = MAP(NULL, 4 * PAGE, RW, ANON | MAP_POPULATE, -1, 0);
  OK(mincore(p, 4 * PAGE, core));
  for (int i = 0; i < 4; i++) EXPECT_EQ(core[i] & 1, 1);
}

CASE(noreserve_lets_a_huge_range_be_mapped) {
  char* p = MAP(NULL, (size_t)64 << 30, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
  OK(mprotect(p + ((size_t)32 << 30), PAGE, RW));
  p[(size_t)32 << 30] = 1;
}

CASE(many_mappings_of_alternating_protection) {
  enum { N = 2000 };
  char* p = MAP(NULL, N * PAGE, RW, ANON, -1, 0);
  for (int i = 0; i < N; i += 2) OK(mprotect(p + i * PAGE, PAGE, PROT_READ));
  for (int i = 1; i < N; i += 2) p[i * PAGE] = 1;
  OK(munmap(p, N * PAGE));
}

CASE(zero_device_maps_as_anonymous_memory) {
  int fd = (int)OK(open("/dev/zero", O_RDWR));
  char* p = MAP(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
  EXPECT_EQ(p[100], 0);
  p[100] = 1;
  EXPECT_EQ(p[100], 1);
}

CASE(proc_self_maps_shows_a_mapping) {
  static char text[262144];
  char want[64];
  char* p = MAP(NULL, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  snprintf(want, sizeof want, "%lx-%lx rw-s", (unsigned long)p, (unsigned long)p + 2 * PAGE);
  EXPECT(read_file("/proc/self/maps", text, sizeof text) > 0);
  EXPECT(strstr(text, want));
}

CASE(proc_self_maps_names_heap_stack_and_program) {
  static char text[262144], self[512];
  char* heap_end = (char*)syscall(SYS_brk, 0);
  EXPECT(syscall(SYS_brk, heap_end + PAGE) > 0);
  OK(readlink("/proc/self/exe", self, sizeof self - 1));
  EXPECT(read_file("/proc/self/maps", text, sizeof text) > 0);
  EXPECT(strstr(text, "[heap]"));
  EXPECT(strstr(text, "[stack]"));
  EXPECT(strstr(text, "[vdso]"));
  EXPECT(strstr(text, self));
}

CASE(process_vm_readv_reads_a_child) {
  static char secret[8] = "parent";
  int ready[2];
  OK(pipe(ready));
  pid_t child = IN_CHILD({
    strcpy(secret, "child");
    OK(write(ready[1], "x", 1));
    for (;;) pause();
  });
  char byte, got[8] = {0};
  OK(read(ready[0], &byte, 1));
  struct iovec local = {got, 8}, remote = {secret, 8};
  EXPECT_EQ(process_vm_readv(child, &local, 1, &remote, 1, 0), 8);
  EXPECT_STR(got, "child");
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

CASE(membarrier_query_lists_commands) {
  long commands = OK(syscall(SYS_membarrier, 0, 0, 0));
  EXPECT(commands & 1);
  EXPECT_EQ(syscall(SYS_membarrier, 1 /* MEMBARRIER_CMD_GLOBAL */, 0, 0), 0);
}

CASE(mapping_is_counted_in_statm) {
  char text[128];
  long before, after;
  EXPECT(read_file("/proc/self/statm", text, sizeof text) > 0);
  before = atol(text);
  MAP(NULL, 1000 * PAGE, RW, ANON, -1, 0);
  EXPECT(read_file("/proc/self/statm", text, sizeof text) > 0);
  after = atol(text);
  EXPECT_EQ(after - before, 1000);
}
