#include "kernel/mm/maps_text.h"

#include <sys/sysmacros.h>

#include <algorithm>

#include <fmt/format.h>

#include "kernel/mm/vma_tree.h"

namespace cofferdam::kernel {
namespace {

constexpr uint64_t kib = 1024;
// What a reader of smaps may make us ask the host about, in pages: a bound on our work and memory.
constexpr uint64_t most_pages_looked_at = uint64_t{4} << 20;

struct Identity {
  uint64_t device = 0, inode = 0;
};

Identity identity_of(Vma const& v) {
  if (v.file) {
    if (auto attributes = v.file->attributes()) return {attributes->device, attributes->inode};
    return {};
  }
  // The inode of the unnamed shmem file that Linux would have made.
  if (v.kind == Vma::Kind::SharedAnonymous)
    return {makedev(0, 1), (v.memory_offset - v.file_offset) / page_size + 1024};
  return {};
}

// Newlines as \012, as seq_path does.
std::string escaped(std::string const& path) {
  if (path.find('\n') == std::string::npos) return path;
  std::string out;
  for (char c : path) {
    if (c == '\n')
      out += "\\012";
    else
      out += c;
  }
  return out;
}

std::string name_of(Vma const& v, FileNamer const& namer) {
  if (v.file) return escaped(namer(*v.file));
  switch (v.kind) {
    case Vma::Kind::Heap:
      return "[heap]";
    case Vma::Kind::Stack:
      return "[stack]";
    case Vma::Kind::Vdso:
      return "[vdso]";
    case Vma::Kind::Vvar:
      return "[vvar]";
    case Vma::Kind::SharedAnonymous:
      if (v.name.empty()) return "/dev/zero (deleted)";
      return v.name[0] == '/' ? v.name : fmt::format("[anon_shmem:{}]", v.name);
    case Vma::Kind::Normal:
      break;
  }
  return v.name.empty() ? std::string() : fmt::format("[anon:{}]", v.name);
}

// show_map_vma of Linux, without the newline.
void append_header(std::string& out, uint64_t start, uint64_t end, char const (&permissions)[5], uint64_t offset,
                   Identity id, std::string const& name) {
  size_t line = out.size();
  fmt::format_to(std::back_inserter(out), "{:08x}-{:08x} {} {:08x} {:02x}:{:02x} {} ", start, end, permissions, offset,
                 gnu_dev_major(id.device), gnu_dev_minor(id.device), id.inode);
  if (name.empty()) return;
  constexpr size_t name_column = 73;
  if (out.size() - line < name_column) out.append(name_column - (out.size() - line), ' ');
  out += name;
}

void append_map_line(std::string& out, Vma const& v, FileNamer const& namer) {
  char const permissions[5] = {v.protection & PROT_READ ? 'r' : '-', v.protection & PROT_WRITE ? 'w' : '-',
                               v.protection & PROT_EXEC ? 'x' : '-', v.flags & MAP_SHARED ? 's' : 'p', 0};
  bool has_offset = v.file || v.kind == Vma::Kind::SharedAnonymous;
  append_header(out, v.start, v.end, permissions, has_offset ? v.file_offset : 0, identity_of(v), name_of(v, namer));
  out += '\n';
}

struct Amounts {  // bytes
  uint64_t size = 0, resident = 0, anonymous = 0, shared_clean = 0, shared_dirty = 0, private_clean = 0,
           private_dirty = 0, locked = 0;
  void add(Amounts const& o) {
    size += o.size;
    resident += o.resident;
    anonymous += o.anonymous;
    shared_clean += o.shared_clean;
    shared_dirty += o.shared_dirty;
    private_clean += o.private_clean;
    private_dirty += o.private_dirty;
    locked += o.locked;
  }
};

Amounts measure(MemoryManager const& mm, Vma const& v, uint64_t& budget) {
  Amounts a{.size = v.end - v.start};
  uint64_t pages = std::min(a.size / page_size, budget);
  budget -= pages;
  constexpr uint64_t chunk = 65536;
  std::vector<unsigned char> present(std::min(pages, chunk));
  for (uint64_t done = 0; done < pages;) {
    uint64_t n = std::min(pages - done, chunk);
    auto part = std::span(present).first(n);
    if (!mm.address_space().mincore(v.start + done * page_size, n * page_size, part)) break;
    a.resident +=
        page_size * static_cast<uint64_t>(std::count_if(part.begin(), part.end(), [](auto p) { return p & 1; }));
    done += n;
  }
  // Which pages of a file mapping are clean or shared the host does not tell: those that can be written count as dirty.
  bool dirty = v.protection & PROT_WRITE;
  if (v.flags & MAP_SHARED)
    (dirty ? a.shared_dirty : a.shared_clean) = a.resident;
  else
    (dirty || !v.memory ? a.private_dirty : a.private_clean) = a.resident;
  if (!v.memory) a.anonymous = a.resident;
  if (v.locked) a.locked = a.resident;
  return a;
}

void append_amounts(std::string& out, Amounts const& a) {
  fmt::format_to(std::back_inserter(out),
                 "Rss:            {:8} kB\n"
                 "Pss:            {:8} kB\n"
                 "Pss_Dirty:      {:8} kB\n"
                 "Shared_Clean:   {:8} kB\n"
                 "Shared_Dirty:   {:8} kB\n"
                 "Private_Clean:  {:8} kB\n"
                 "Private_Dirty:  {:8} kB\n"
                 "Referenced:     {:8} kB\n"
                 "Anonymous:      {:8} kB\n"
                 "KSM:            {:8} kB\n"
                 "LazyFree:       {:8} kB\n"
                 "AnonHugePages:  {:8} kB\n"
                 "ShmemPmdMapped: {:8} kB\n"
                 "FilePmdMapped:  {:8} kB\n"
                 "Shared_Hugetlb: {:8} kB\n"
                 "Private_Hugetlb:{:8} kB\n"
                 "Swap:           {:8} kB\n"
                 "SwapPss:        {:8} kB\n"
                 "Locked:         {:8} kB\n",
                 a.resident / kib, a.resident / kib, (a.private_dirty + a.shared_dirty) / kib, a.shared_clean / kib,
                 a.shared_dirty / kib, a.private_clean / kib, a.private_dirty / kib, a.resident / kib,
                 a.anonymous / kib, 0, 0, 0, 0, 0, 0, 0, 0, 0, a.locked / kib);
}

std::string flags_text(Vma const& v) {
  std::string t;
  auto flag = [&](bool is, char const* code) {
    if (is) (t += code) += ' ';
  };
  bool shared = v.flags & MAP_SHARED;
  flag(v.protection & PROT_READ, "rd");
  flag(v.protection & PROT_WRITE, "wr");
  flag(v.protection & PROT_EXEC, "ex");
  flag(shared && v.may_write, "sh");
  flag(v.may_read, "mr");
  flag(v.may_write, "mw");
  flag(v.may_exec, "me");
  flag(shared, "ms");
  flag(v.flags & MAP_GROWSDOWN, "gd");
  flag(v.locked, "lo");
  flag(v.sequential_access, "sr");
  flag(v.random_access, "rr");
  flag(v.dont_fork, "dc");
  flag(v.kind == Vma::Kind::Vdso || v.kind == Vma::Kind::Vvar, "de");
  flag(is_data_mapping(v.protection, v.flags) || (v.flags & MAP_GROWSDOWN), "ac");
  flag(v.flags & MAP_NORESERVE, "nr");
  flag(v.wipe_on_fork, "wf");
  flag(v.dont_dump, "dd");
  flag(v.huge_pages == Vma::HugePages::Wanted, "hg");
  flag(v.huge_pages == Vma::HugePages::Unwanted, "nh");
  flag(v.sealed, "sl");
  return t;
}

}  // namespace

std::string maps_text(MemoryManager const& mm, FileNamer const& namer) {
  std::string out;
  for (Vma const& v : mm.vmas()) append_map_line(out, v, namer);
  return out;
}

std::string smaps_text(MemoryManager const& mm, FileNamer const& namer) {
  std::string out;
  uint64_t budget = most_pages_looked_at;
  for (Vma const& v : mm.vmas()) {
    append_map_line(out, v, namer);
    Amounts a = measure(mm, v, budget);
    fmt::format_to(std::back_inserter(out),
                   "Size:           {:8} kB\nKernelPageSize: {:8} kB\nMMUPageSize:    {:8} kB\n", a.size / kib, 4, 4);
    append_amounts(out, a);
    bool huge = !v.memory && a.size >= huge_page_size && v.huge_pages == Vma::HugePages::Wanted;
    fmt::format_to(std::back_inserter(out), "THPeligible:    {:8}\nVmFlags: {}\n", huge ? 1 : 0, flags_text(v));
  }
  return out;
}

std::string smaps_rollup_text(MemoryManager const& mm) {
  std::string out;
  uint64_t budget = most_pages_looked_at;
  Amounts sum;
  auto vmas = mm.vmas();
  for (Vma const& v : vmas) sum.add(measure(mm, v, budget));
  uint64_t start = vmas.empty() ? 0 : vmas.front().start, end = vmas.empty() ? 0 : vmas.back().end;
  append_header(out, start, end, "---p", 0, {}, "[rollup]");
  out += '\n';
  Amounts private_part = sum;
  append_amounts(out, private_part);
  // The rollup has Pss split by kind, behind Pss_Dirty.
  size_t at = out.find("Shared_Clean:");
  out.insert(at, fmt::format("Pss_Anon:       {:8} kB\nPss_File:       {:8} kB\nPss_Shmem:      {:8} kB\n",
                             sum.anonymous / kib, (sum.resident - sum.anonymous) / kib, 0));
  return out;
}

std::string numa_maps_text(MemoryManager const& mm, FileNamer const& namer) {
  std::string out;
  uint64_t budget = most_pages_looked_at;
  for (Vma const& v : mm.vmas()) {
    Amounts a = measure(mm, v, budget);
    fmt::format_to(std::back_inserter(out), "{:08x} default", v.start);
    if (v.file) {
      fmt::format_to(std::back_inserter(out), " file={}", escaped(namer(*v.file)));
    } else if (v.kind == Vma::Kind::Heap) {
      out += " heap";
    } else if (v.kind == Vma::Kind::Stack) {
      out += " stack";
    }
    uint64_t pages = a.resident / page_size;
    if (pages != 0) {
      if (a.anonymous != 0) fmt::format_to(std::back_inserter(out), " anon={} dirty={}", pages, pages);
      if (a.anonymous == 0) fmt::format_to(std::back_inserter(out), " mapped={}", pages);
      fmt::format_to(std::back_inserter(out), " N0={} kernelpagesize_kB=4", pages);
    }
    out += '\n';
  }
  return out;
}

std::string statm_text(MemoryManager const& mm) {
  MemoryUsage use = mm.usage();
  uint64_t resident = mm.address_space().resident_bytes();
  return fmt::format("{} {} {} {} 0 {} 0\n", use.total / page_size, resident / page_size,
                     std::min(use.shared, resident) / page_size, use.text / page_size,
                     (use.data + use.stack) / page_size);
}

std::string status_memory_text(MemoryManager const& mm) {
  MemoryUsage use = mm.usage();
  uint64_t resident = mm.address_space().resident_bytes();
  uint64_t peak_resident = std::max(resident, mm.address_space().usage().max_resident_bytes);
  uint64_t shared = std::min(use.shared, resident);
  uint64_t page_tables = page_up(resident / 512) + 4 * page_size;  // an estimate: the leaves, and one table a level
  auto line = [](char const* name, uint64_t bytes) { return fmt::format("{}:\t{:8} kB\n", name, bytes / kib); };
  return line("VmPeak", use.peak_total) + line("VmSize", use.total) + line("VmLck", use.locked) + line("VmPin", 0) +
         line("VmHWM", peak_resident) + line("VmRSS", resident) + line("RssAnon", resident - shared) +
         line("RssFile", 0) + line("RssShmem", shared) + line("VmData", use.data) + line("VmStk", use.stack) +
         line("VmExe", use.text) + line("VmLib", use.library) + line("VmPTE", page_tables) + line("VmSwap", 0);
}

}  // namespace cofferdam::kernel
