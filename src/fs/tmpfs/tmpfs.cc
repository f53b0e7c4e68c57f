#include "fs/tmpfs/tmpfs.h"

#include <fcntl.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <charconv>

#include "fs/tmpfs/tmpfs_inode.h"

namespace cofferdam::fs::tmpfs {
namespace {

constexpr uint64_t page = 4096;
constexpr uint64_t most_inodes = 1'000'000;  // unless asked otherwise: each costs the sentry memory

// What the sandbox has.
uint64_t memory_of(kernel::Kernel const& kernel) {
  if (uint64_t limit = kernel.root_control_group().memory_limit()) return limit;
  struct sysinfo host{};
  if (::sysinfo(&host) != 0) return uint64_t{1} << 30;
  return host.totalram * host.mem_unit;
}

// "64m", "10%", "4096": bytes (or a part of `whole`).
Result<uint64_t> parse_amount(std::string_view text, uint64_t whole) {
  uint64_t n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end == text.data()) return fail(Errno::Inval);
  std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  if (unit.empty()) return n;
  if (unit.size() > 1) return fail(Errno::Inval);
  uint64_t factor = 0;
  switch (unit[0] | 0x20) {
    case 'k':
      factor = uint64_t{1} << 10;
      break;
    case 'm':
      factor = uint64_t{1} << 20;
      break;
    case 'g':
      factor = uint64_t{1} << 30;
      break;
    case 't':
      factor = uint64_t{1} << 40;
      break;
    default:
      break;
  }
  if (unit[0] == '%') return n > 100'000 ? Result<uint64_t>(fail(Errno::Inval)) : whole / 100 * n;
  uint64_t bytes;
  if (factor == 0 || __builtin_mul_overflow(n, factor, &bytes)) return fail(Errno::Inval);
  return bytes;
}

Result<uint32_t> parse_number(std::string_view text, int base) {
  uint32_t n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n, base);
  if (error != std::errc() || end != text.data() + text.size()) return fail(Errno::Inval);
  return n;
}

Result<void> apply_option(Options& o, std::string_view key, std::string_view value, uint64_t memory) {
  if (key == "size") {
    o.size = std::max(TRY(parse_amount(value, memory)), page);
  } else if (key == "nr_blocks") {
    o.size = std::max(TRY(parse_amount(value, memory)), uint64_t{1}) * page;
  } else if (key == "nr_inodes") {
    o.inodes = TRY(parse_amount(value, memory));
  } else if (key == "mode") {
    o.mode = TRY(parse_number(value, 8)) & 07777;
  } else if (key == "uid") {
    o.uid = TRY(parse_number(value, 10));
  } else if (key == "gid") {
    o.gid = TRY(parse_number(value, 10));
  } else if (key != "huge" && key != "mpol" && key != "noswap" && key != "inode64" && key != "inode32" &&
             key != "context" && key != "rw" && key != "ro" && key != "defaults") {
    return fail(Errno::Inval);
  }
  return {};
}

}  // namespace

Result<Options> parse_options(kernel::Kernel& kernel, std::string_view data, Options options) {
  uint64_t memory = memory_of(kernel);
  while (!data.empty()) {
    size_t comma = std::min(data.find(','), data.size());
    std::string_view item = data.substr(0, comma);
    data.remove_prefix(std::min(comma + 1, data.size()));
    if (item.empty()) continue;
    size_t equals = std::min(item.find('='), item.size());
    TRY(apply_option(options, item.substr(0, equals), item.substr(std::min(equals + 1, item.size())), memory));
  }
  return options;
}

Result<Ref<FileSystem>> create(kernel::Kernel& kernel, Options const& options) {
  return Ref<FileSystem>(make_ref<TmpfsFileSystem>(kernel, options));
}

kernel::FileSystemType file_system_type() {
  kernel::FileSystemType type;
  type.name = "tmpfs";
  type.create = [](kernel::MountRequest const& request) -> Result<Ref<FileSystem>> {
    return create(request.kernel, TRY(parse_options(request.kernel, request.data, {})));
  };
  return type;
}

TmpfsFileSystem::TmpfsFileSystem(kernel::Kernel& kernel, Options const& options)
    : kernel_(kernel),
      options_(options),
      size_(options.size),
      inodes_wanted_(options.inodes),
      device_(kernel.vfs().allocate_device()),
      pages_(make_ref<kernel::PageBudget>((options.size ? options.size : memory_of(kernel) / 2) / page)) {
  unclaimed_root_ =
      make_ref<TmpfsInode>(*this, next_number_.fetch_add(1),
                           NewInode{.mode = S_IFDIR | options.mode, .uid = options.uid, .gid = options.gid});
  inodes_.fetch_add(1);
  root_ = unclaimed_root_.get();
  root_->add_links(2);
}

TmpfsFileSystem::~TmpfsFileSystem() = default;

Ref<Inode> TmpfsFileSystem::root() {
  if (unclaimed_root_) return std::exchange(unclaimed_root_, {});
  return Ref<Inode>(root_);
}

Result<Ref<TmpfsInode>> TmpfsFileSystem::make_inode(NewInode const& fresh) {
  if (inodes_.fetch_add(1, std::memory_order_relaxed) >= inode_limit()) {
    inodes_.fetch_sub(1, std::memory_order_relaxed);
    return fail(Errno::NoSpc);
  }
  auto inode = make_ref<TmpfsInode>(*this, next_number_.fetch_add(1, std::memory_order_relaxed), fresh);
  if (S_ISREG(fresh.mode))
    inode->set_data(std::make_unique<kernel::MemoryData>(kernel_.memory_file(), pages_, F_SEAL_SEAL));
  return inode;
}

uint64_t TmpfsFileSystem::inode_limit() const {
  uint64_t const wanted = inodes_wanted_.load(std::memory_order_relaxed);
  return wanted != 0 ? wanted : std::min(most_inodes, memory_of(kernel_) / 2 / page);
}

Result<void> TmpfsFileSystem::reconfigure(std::string_view data) {
  Options now = options_;
  now.size = size_;
  now.inodes = inodes_wanted_;
  now = TRY(parse_options(kernel_, data, now));
  if (now.size != 0 && now.size / page < pages_->used()) return fail(Errno::Inval);
  if (now.inodes != 0 && now.inodes < inodes_.load()) return fail(Errno::Inval);
  if (now.size != 0) pages_->set_limit(now.size / page);
  size_ = now.size;
  inodes_wanted_ = now.inodes;
  return {};
}

Result<struct statfs> TmpfsFileSystem::statfs() {
  struct statfs s{};
  s.f_type = 0x01021994;
  s.f_bsize = s.f_frsize = page;
  s.f_blocks = pages_->limit();
  s.f_bfree = s.f_bavail = pages_->limit() - std::min(pages_->used(), pages_->limit());
  s.f_files = inode_limit();
  s.f_ffree = s.f_files - std::min<uint64_t>(inodes_.load(), s.f_files);
  s.f_namelen = 255;
  return s;
}

std::string TmpfsFileSystem::mount_options() const {
  std::string text;
  if (uint64_t size = size_) text += ",size=" + std::to_string(size / 1024) + "k";
  if (uint64_t inodes = inodes_wanted_) text += ",nr_inodes=" + std::to_string(inodes);
  if (options_.mode != 01777) {
    char mode[16];
    std::snprintf(mode, sizeof mode, ",mode=%o", options_.mode);
    text += mode;
  }
  if (options_.uid) text += ",uid=" + std::to_string(options_.uid);
  if (options_.gid) text += ",gid=" + std::to_string(options_.gid);
  return text.empty() ? text : text.substr(1);
}

}  // namespace cofferdam::fs::tmpfs
