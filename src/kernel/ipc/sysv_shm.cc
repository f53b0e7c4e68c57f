// System V shared memory (shmget(2), shmop(2), shmctl(2)): segments are extents of the memory file.
#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kernel/ipc/sysv.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"

namespace cofferdam::kernel::sysv {
namespace {

constexpr uint16_t marked_for_removal = 01000, locked_mode = 02000;  // SHM_DEST, SHM_LOCKED of st_mode
constexpr uint64_t page = 4096;
constexpr int huge_pages = 04000;

shminfo limits_of(Limits const& limits) {
  uint64_t const segments = limits.segments.load(std::memory_order_relaxed);
  return {.shmmax = limits.segment_bytes.load(std::memory_order_relaxed),
          .shmmin = 1,
          .shmmni = segments,
          .shmseg = segments,
          .shmall = limits.segment_pages.load(std::memory_order_relaxed)};
}

}  // namespace

// Segments that were removed while attached go with their last mapping; nobody tells, so we look.
void SharedMemory::purge() {
  std::vector<Ref<Segment>> gone;
  for (auto const& [slot, segment] : table_.all())
    if ((segment->mode & marked_for_removal) && segment->attach_count() == 0) gone.push_back(segment);
  for (auto& segment : gone) table_.remove(*segment);
}

Result<int> SharedMemory::get(Task& task, key_t key, uint64_t size, int flags) {
  auto who = task.credentials();
  MutexLock lock(mutex_);
  purge();
  return table_.get(
      *who, key, flags,
      [&](Segment const& s) -> Result<void> {
        if (size > s.size) return fail(Errno::Inval);
        return {};
      },
      [&]() NO_THREAD_SAFETY_ANALYSIS -> Result<Ref<Segment>> {
        auto const& limits = limits_;
        if (size == 0 || size > limits.segment_bytes.load(std::memory_order_relaxed)) return fail(Errno::Inval);
        if (table_.all().size() >= limits.segments.load(std::memory_order_relaxed)) return fail(Errno::NoSpc);
        uint64_t pages = size / page;
        for (auto const& [slot, segment] : table_.all()) pages += segment->attachment->size / page;
        if (pages > limits.segment_pages.load(std::memory_order_relaxed)) return fail(Errno::NoSpc);
        if (flags & huge_pages) return fail(Errno::NoMem);  // none are reserved
        auto extent = TRY(task.kernel().memory_file().allocate(size));
        auto segment = make_ref<Segment>();
        segment->size = size;
        segment->attachment = make_ref<Attachment>();
        segment->attachment->size = extent->length();
        segment->attachment->extent = std::move(extent);
        segment->creator = Ref<Pid>(&task.thread_group().pid());
        return segment;
      });
}

Result<uint64_t> SharedMemory::attach(Task& task, int id, uint64_t address, int flags) {
  int placement = 0;
  if (address != 0) {
    if (address % page != 0) {
      if (!(flags & SHM_RND)) return fail(Errno::Inval);
      address &= ~(page - 1);
      if (address == 0 && (flags & SHM_REMAP)) return fail(Errno::Inval);
    }
    placement = flags & SHM_REMAP ? MAP_FIXED : MAP_FIXED_NOREPLACE;
  } else if (flags & SHM_REMAP) {
    return fail(Errno::Inval);
  }
  int wanted = readable, protection = PROT_READ;
  if (!(flags & SHM_RDONLY)) {
    wanted |= S_IWUSR | S_IWGRP | S_IWOTH;
    protection |= PROT_WRITE;
  }
  if (flags & SHM_EXEC) {
    wanted |= S_IXUSR | S_IXGRP | S_IXOTH;
    protection |= PROT_EXEC;
  }
  Ref<Segment> segment;
  Ref<Attachment> attachment;
  std::string name;
  {
    MutexLock lock(mutex_);
    purge();
    segment = TRY(table_.find(id));
    TRY(segment->check(*task.credentials(), wanted));
    attachment = segment->attachment;
    name = fmt::format("/SYSV{:08x} (deleted)", static_cast<uint32_t>(segment->key));
  }
  auto mapped = task.mm()->map_extent(task,
                                      {.address = address,
                                       .length = attachment->size,
                                       .protection = protection,
                                       .flags = MAP_SHARED | MAP_ANONYMOUS | placement},
                                      attachment, *attachment->extent, !(flags & SHM_RDONLY), std::move(name));
  if (!mapped) return mapped.error() == Errno::Exist ? fail(Errno::Inval) : mapped;
  MutexLock lock(mutex_);
  segment->attached = now();
  segment->last = Ref<Pid>(&task.thread_group().pid());
  return mapped;
}

Result<void> SharedMemory::detach(Task& task, uint64_t address) {
  if (address % page != 0) return fail(Errno::Inval);
  auto mm = task.mm();
  auto first = mm->find(address);
  if (!first || first->start != address || first->file_offset != 0) return fail(Errno::Inval);
  auto attachment = ref_cast<Attachment>(first->backing);
  if (!attachment) return fail(Errno::Inval);
  // The parts of it that are still there, wherever they have been split.
  for (uint64_t at = address; at < address + attachment->size;) {
    auto part = mm->find(at);
    if (!part) {
      at += page;
      continue;
    }
    if (part->backing == attachment.get() && part->start - address == part->file_offset)
      TRY(mm->munmap(task, part->start, part->end - part->start));
    at = part->end;
  }
  first.reset();
  MutexLock lock(mutex_);
  for (auto const& [slot, segment] : table_.all())
    if (segment->attachment == attachment.get()) {
      segment->detached = now();
      segment->last = Ref<Pid>(&task.thread_group().pid());
    }
  attachment = {};
  purge();
  return {};
}

shmid_ds SharedMemory::status(Segment const& s, PidNamespace const& space) {
  shmid_ds d{};
  d.shm_perm = s.permission();
  d.shm_perm.mode = static_cast<unsigned short>(d.shm_perm.mode | (s.locked ? locked_mode : 0));
  d.shm_segsz = s.size;
  d.shm_atime = s.attached;
  d.shm_dtime = s.detached;
  d.shm_ctime = s.changed;
  d.shm_cpid = number_of(s.creator, space);
  d.shm_lpid = number_of(s.last, space);
  d.shm_nattch = s.attach_count();
  return d;
}

Result<int> SharedMemory::control(Task& task, int id, int command, UserAddr buffer) {
  constexpr int stat_any = 15;
  if (id < 0 || command < 0) return fail(Errno::Inval);
  auto who = task.credentials();
  if (command == IPC_SET) {
    auto wanted = TRY(task.read(UserPtr<shmid_ds>(buffer)));
    MutexLock lock(mutex_);
    auto segment = TRY(table_.find(id));
    if (!segment->owned_by(*who)) return fail(Errno::Perm);
    segment->set(wanted.shm_perm);
    return 0;
  }
  if (command == IPC_INFO || command == SHM_INFO) {
    MutexLock lock(mutex_);
    purge();
    int highest = table_.highest_index();
    shm_info use{};
    use.used_ids = static_cast<int>(table_.all().size());
    for (auto const& [slot, segment] : table_.all()) use.shm_tot += segment->attachment->size / page;
    lock.unlock();
    if (command == IPC_INFO)
      TRY(task.write(UserPtr<shminfo>(buffer), limits_of(limits_)));
    else
      TRY(task.write(UserPtr<shm_info>(buffer), use));
    return highest;
  }
  shmid_ds out{};
  int result = 0;
  bool by_index = command == SHM_STAT || command == stat_any;
  {
    MutexLock lock(mutex_);
    purge();
    auto segment = TRY(by_index ? table_.at_index(id) : table_.find(id));
    switch (command) {
      case SHM_STAT:
      case stat_any:
      case IPC_STAT:
        if (command != stat_any) TRY(segment->check(*who, readable));
        out = status(*segment, task.pids());
        result = by_index ? segment->id : 0;
        break;
      case IPC_RMID:
        if (!segment->owned_by(*who)) return fail(Errno::Perm);
        segment->mode |= marked_for_removal;
        table_.forget_key(*segment);
        purge();
        return 0;
      case SHM_LOCK:
      case SHM_UNLOCK:
        if (!who->capable(CAP_IPC_LOCK)) {
          if (who->euid != segment->uid && who->euid != segment->creator_uid) return fail(Errno::Perm);
          if (command == SHM_LOCK && task.thread_group().limits.current(RLIMIT_MEMLOCK) == 0) return fail(Errno::Perm);
        }
        segment->locked = command == SHM_LOCK;
        return 0;
      default:
        return fail(Errno::Inval);
    }
  }
  TRY(task.write(UserPtr<shmid_ds>(buffer), out));
  return result;
}

std::string SharedMemory::text(PidNamespace const& space) {
  std::string out =
      "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      "
      "dtime  "
      "    ctime                   rss                  swap\n";
  MutexLock lock(mutex_);
  purge();
  for (auto const& [slot, s] : table_.all())
    out += fmt::format("{:10} {:10}  {:4o} {:21} {:5} {:5}  {:5} {:5} {:5} {:5} {:5} {:10} {:10} {:10} {:21} {:21}\n",
                       s->key, s->id, s->mode, s->size, number_of(s->creator, space), number_of(s->last, space),
                       s->attach_count(), s->uid, s->gid, s->creator_uid, s->creator_gid, s->attached, s->detached,
                       s->changed, 0, 0);
  return out;
}

}  // namespace cofferdam::kernel::sysv
