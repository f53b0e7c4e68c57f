#include "kernel/vfs/pseudo_fs.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "kernel/kernel.h"
#include "kernel/vfs/vfs.h"

namespace cofferdam::kernel {
namespace {

constexpr size_t write_limit = 4096;

unsigned char directory_type(mode_t mode) { return static_cast<unsigned char>((mode & S_IFMT) >> 12); }

}  // namespace

PseudoFileSystem::PseudoFileSystem(Kernel& kernel, std::string_view type_name, uint64_t magic)
    : kernel_(kernel), type_name_(type_name), magic_(magic), device_(kernel.vfs().allocate_device()) {}

Result<struct statfs> PseudoFileSystem::statfs() {
  struct statfs s{};
  s.f_type = static_cast<decltype(s.f_type)>(magic_);
  s.f_bsize = s.f_frsize = 4096;
  s.f_namelen = 255;
  return s;
}

PseudoInode::PseudoInode(PseudoFileSystem& fs, uint64_t number, mode_t mode)
    : Inode(fs), number_(number), mode_(mode), made_(to_timespec(host_now(CLOCK_REALTIME))) {}

PseudoFileSystem& PseudoInode::pseudo_file_system() const { return static_cast<PseudoFileSystem&>(file_system()); }

Result<Attributes> PseudoInode::attributes() {
  Attributes a;
  a.device = file_system().device();
  a.inode = number_;
  a.mode = mode_;
  a.block_size = 1024;
  a.accessed = a.modified = a.changed = made_;
  owner(a.uid, a.gid);
  return a;
}

Result<void> PseudoInode::set_attributes(AttributeChange const& change, Task&) {
  if (change.mode || change.uid || change.gid) return fail(Errno::Perm);
  return {};
}

// ---- text

Result<Attributes> PseudoText::attributes() {
  Attributes a = TRY(PseudoInode::attributes());
  a.size = shown_size();
  return a;
}

Result<Ref<File>> PseudoText::open(OpenRequest const& request, Path const& path) {
  TRY(check_access(request.task));
  return Ref<File>(make_ref<PseudoTextFile>(Ref<PseudoText>(this), path, request.flags));
}

PseudoTextFile::PseudoTextFile(Ref<PseudoText> inode, Path path, int flags)
    : File(std::move(path), flags), inode_(std::move(inode)) {}

Result<size_t> PseudoTextFile::read(Task& task, IoSink& sink, uint64_t offset, IoOptions) {
  std::shared_ptr<std::string const> text = text_.with([](auto& t) { return t; });
  if (offset == 0 || !text) {
    TRY(inode_->check_access(task));
    text = std::make_shared<std::string const>(TRY(inode_->text(task)));
    text_.with([&](auto& t) { t = text; });
  }
  if (offset >= text->size()) return size_t{0};
  return sink.put(as_bytes(std::string_view(*text).substr(offset)));
}

Result<size_t> PseudoTextFile::write(Task& task, IoSource& source, uint64_t, IoOptions) {
  size_t const n = source.remaining();
  if (n > write_limit) return fail(Errno::Inval);
  std::string text(n, '\0');
  text.resize(TRY(source.get(std::as_writable_bytes(std::span(text.data(), n)))));
  TRY(inode_->check_access(task));
  TRY(inode_->write_text(task, text));
  return text.size();
}

Result<uint64_t> PseudoTextFile::seek(Task&, int64_t offset, int whence) {
  MutexLock lock(position_lock);
  int64_t target = offset;
  if (whence == SEEK_CUR) {
    if (__builtin_add_overflow(static_cast<int64_t>(position), offset, &target)) return fail(Errno::Overflow);
  } else if (whence != SEEK_SET) {
    return fail(Errno::Inval);
  }
  if (target < 0) return fail(Errno::Inval);
  return position = static_cast<uint64_t>(target);
}

// ---- directories

Result<Attributes> PseudoDirectory::attributes() {
  Attributes a = TRY(PseudoInode::attributes());
  a.link_count = 2 + subdirectories();
  return a;
}

Result<Ref<File>> PseudoDirectory::open(OpenRequest const& request, Path const& path) {
  return Ref<File>(make_ref<PseudoDirectoryFile>(Ref<PseudoDirectory>(this), path, request.flags));
}

PseudoDirectoryFile::PseudoDirectoryFile(Ref<PseudoDirectory> inode, Path path, int flags)
    : File(std::move(path), flags), inode_(std::move(inode)) {}

Result<uint64_t> PseudoDirectoryFile::seek(Task&, int64_t offset, int whence) {
  MutexLock lock(position_lock);
  int64_t target = offset;
  if (whence == SEEK_CUR) {
    if (__builtin_add_overflow(static_cast<int64_t>(position), offset, &target)) return fail(Errno::Overflow);
  } else if (whence != SEEK_SET) {
    return fail(Errno::Inval);
  }
  if (target < 0) return fail(Errno::Inval);
  return position = static_cast<uint64_t>(target);
}

Result<void> PseudoDirectoryFile::iterate(Task& task, uint64_t position, DirectorySink& sink) {
  if (position == 0 && !sink.add(".", inode_->number(), DT_DIR, 1)) return {};
  if (position <= 1 && !sink.add("..", inode_->parent_number(), DT_DIR, 2)) return {};
  for (uint64_t from = std::max<uint64_t>(position, 2);;) {
    std::vector<PseudoEntry> entries = TRY(inode_->list(task, from));
    if (entries.empty()) return {};
    for (PseudoEntry const& e : entries) {
      if (!sink.add(e.name, e.number, e.type, e.cookie + 1)) return {};
      from = e.cookie + 1;
    }
  }
}

void StaticDirectory::add(std::string name, Ref<PseudoInode> inode) {
  if (S_ISDIR(inode->mode())) ++subdirectories_;
  if (index_.emplace(name, entries_.size()).second) entries_.emplace_back(std::move(name), std::move(inode));
}

Result<Ref<Inode>> StaticDirectory::lookup(std::string_view name) {
  auto found = index_.find(name);
  if (found == index_.end()) return fail(Errno::NoEnt);
  return Ref<Inode>(entries_[found->second].second);
}

Result<std::vector<PseudoEntry>> StaticDirectory::list(Task&, uint64_t from) {
  std::vector<PseudoEntry> result;
  for (size_t i = from - 2; i < entries_.size(); ++i)
    result.push_back(
        {entries_[i].first, entries_[i].second->number(), directory_type(entries_[i].second->mode()), i + 2});
  return result;
}

// ---- trees

Ref<StaticDirectory> PseudoTreeBuilder::directory(std::string_view path) {
  if (!root_) root_ = make_ref<StaticDirectory>(fs_, next_number(), 1);
  if (path.empty()) return root_;
  if (auto found = directories_.find(path); found != directories_.end()) return found->second;
  size_t const slash = path.rfind('/');
  Ref<StaticDirectory> parent = directory(slash == path.npos ? std::string_view() : path.substr(0, slash));
  auto made = make_ref<StaticDirectory>(fs_, next_number(), parent->number());
  parent->add(std::string(path.substr(slash == path.npos ? 0 : slash + 1)), made);
  directories_.emplace(path, made);
  return made;
}

void PseudoTreeBuilder::add(std::string_view path, Ref<PseudoInode> inode) {
  size_t const slash = path.rfind('/');
  directory(slash == path.npos ? std::string_view() : path.substr(0, slash))
      ->add(std::string(path.substr(slash == path.npos ? 0 : slash + 1)), std::move(inode));
}

void PseudoTreeBuilder::text(std::string_view path, mode_t permissions, PseudoTextFunction::Text text,
                             PseudoTextFunction::Write write, uint64_t shown_size) {
  add(path,
      make_ref<PseudoTextFunction>(fs_, next_number(), permissions, std::move(text), std::move(write), shown_size));
}

void PseudoTreeBuilder::fixed(std::string_view path, std::string text, mode_t permissions, uint64_t shown_size) {
  this->text(
      path, permissions, [text = std::move(text)](Task&) -> Result<std::string> { return text; }, {}, shown_size);
}

void PseudoTreeBuilder::symlink(std::string_view path, std::string target) {
  add(path, make_ref<PseudoSymlink>(fs_, next_number(), std::move(target)));
}

// ---- numbers

std::string_view trim(std::string_view s) {
  auto blank = [](char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\0'; };
  while (!s.empty() && blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && blank(s.back())) s.remove_suffix(1);
  return s;
}

Result<int64_t> parse_number(std::string_view text) {
  std::string_view s = trim(text);
  bool const negative = !s.empty() && s.front() == '-';
  if (negative || (!s.empty() && s.front() == '+')) s.remove_prefix(1);
  int base = 10;
  if (s.size() > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
    base = 16;
    s.remove_prefix(2);
  } else if (s.size() > 1 && s[0] == '0') {
    base = 8;
  }
  uint64_t magnitude = 0;
  auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), magnitude, base);
  if (s.empty() || error != std::errc() || end != s.data() + s.size()) return fail(Errno::Inval);
  if (magnitude > INT64_MAX) return fail(Errno::Range);
  return negative ? -static_cast<int64_t>(magnitude) : static_cast<int64_t>(magnitude);
}

}  // namespace cofferdam::kernel
