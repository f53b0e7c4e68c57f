#include "fs/devpts/devpts.h"

#include <dirent.h>
#include <linux/magic.h>
#include <sys/sysmacros.h>

#include <atomic>
#include <charconv>

#include <fmt/core.h>

#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/vfs/pseudo_fs.h"

namespace cofferdam::fs::devpts {

using namespace kernel;

namespace {

constexpr uint64_t root_number = 1, ptmx_number = 2, first_slave_number = 3;

struct Options {
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  mode_t mode = 0600, ptmx_mode = 0;
  int max = 4096;
};

class DevptsFileSystem;

// A slave's node.
class SlaveInode final : public PseudoInode {
 public:
  SlaveInode(PseudoFileSystem& fs, Ref<Pty> pty, uid_t uid, gid_t gid, mode_t mode)
      : PseudoInode(fs, first_slave_number + static_cast<uint64_t>(pty->index()), S_IFCHR),
        pty_(std::move(pty)),
        state_(State{uid, gid, mode}) {}

  Result<Attributes> attributes() override {
    Attributes a = TRY(PseudoInode::attributes());
    state_.with([&](State const& s) {
      a.uid = s.uid;
      a.gid = s.gid;
      a.mode |= s.mode;
    });
    a.special_device = pty_->device();
    return a;
  }
  Result<void> set_attributes(AttributeChange const& change, Task&) override {
    state_.with([&](State& s) {
      if (change.uid) s.uid = *change.uid;
      if (change.gid) s.gid = *change.gid;
      if (change.mode) s.mode = *change.mode;
    });
    return {};
  }
  bool opens_special_files() const override { return true; }
  Result<Ref<File>> open(OpenRequest const& request, Path const& path) override {
    return pty_->open_slave(&request.task, path, request.flags);
  }
  bool revalidate() override { return !gone_.load(); }
  void set_gone() { gone_.store(true); }

 private:
  struct State {
    uid_t uid;
    gid_t gid;
    mode_t mode;
  };
  Ref<Pty> pty_;
  Guarded<State> state_;
  std::atomic<bool> gone_{false};
};

class DevptsFileSystem final : public PseudoFileSystem {
 public:
  DevptsFileSystem(Kernel& kernel, Options const& options)
      : PseudoFileSystem(kernel, "devpts", DEVPTS_SUPER_MAGIC), options_(options) {}
  Ref<Inode> root() override;
  bool revalidates() const override { return true; }
  Options const& options() const { return options_; }
  std::string mount_options() const override {
    std::string text;
    if (options_.uid) text += fmt::format("uid={},", *options_.uid);
    if (options_.gid) text += fmt::format("gid={},", *options_.gid);
    return text + fmt::format("mode={:03o},ptmxmode={:03o}", options_.mode, options_.ptmx_mode);
  }

  // A fresh pair with the lowest free number. ENOSPC at the limit.
  Result<std::pair<Ref<Pty>, Ref<SlaveInode>>> allocate(uid_t uid, gid_t gid) {
    return slaves_.with([&](Slaves& slaves) -> Result<std::pair<Ref<Pty>, Ref<SlaveInode>>> {
      int index = 0;
      for (auto const& [used, _] : slaves) {
        if (used != index) break;
        ++index;
      }
      if (index >= options_.max) return fail(Errno::NoSpc);
      auto pty = make_ref<Pty>(kernel(), index);
      auto inode =
          make_ref<SlaveInode>(*this, pty, options_.uid.value_or(uid), options_.gid.value_or(gid), options_.mode);
      slaves.emplace(index, inode);
      return std::pair(std::move(pty), std::move(inode));
    });
  }
  void release(int index) {
    Ref<SlaveInode> gone = slaves_.with([&](Slaves& slaves) {
      auto node = slaves.extract(index);
      return node.empty() ? Ref<SlaveInode>() : std::move(node.mapped());
    });
    if (gone) gone->set_gone();
  }
  Ref<SlaveInode> find(int index) {
    return slaves_.with([&](Slaves& slaves) {
      auto found = slaves.find(index);
      return found == slaves.end() ? Ref<SlaveInode>() : found->second;
    });
  }
  std::vector<int> indices() {
    return slaves_.with([](Slaves& slaves) {
      std::vector<int> result;
      for (auto const& [index, _] : slaves) result.push_back(index);
      return result;
    });
  }
  Ref<File> open_master(Ref<Pty> const& pty, Path const& path, int flags) {
    return pty->open_master(path, flags,
                            [fs = Ref<DevptsFileSystem>(this), index = pty->index()] { fs->release(index); });
  }

 private:
  using Slaves = std::map<int, Ref<SlaveInode>>;
  Options const options_;
  Guarded<Slaves> slaves_;
};

// Opening it makes a pair and gives the master.
class PtmxInode final : public PseudoInode {
 public:
  explicit PtmxInode(DevptsFileSystem& fs) : PseudoInode(fs, ptmx_number, S_IFCHR), mode_(fs.options().ptmx_mode) {}
  Result<Attributes> attributes() override {
    Attributes a = TRY(PseudoInode::attributes());
    a.mode |= mode_.load();
    a.special_device = makedev(5, 2);
    return a;
  }
  Result<void> set_attributes(AttributeChange const& change, Task&) override {
    if (change.uid || change.gid) return fail(Errno::Perm);
    if (change.mode) mode_.store(*change.mode);
    return {};
  }
  bool opens_special_files() const override { return true; }
  Result<Ref<File>> open(OpenRequest const& request, Path const& path) override {
    auto& fs = static_cast<DevptsFileSystem&>(file_system());
    Ref<Credentials const> who = request.task.credentials();
    auto [pty, slave] = TRY(fs.allocate(who->fsuid, who->fsgid));
    return fs.open_master(pty, path, request.flags);
  }

 private:
  std::atomic<mode_t> mode_;
};

class RootDirectory final : public PseudoDirectory {
 public:
  explicit RootDirectory(DevptsFileSystem& fs)
      : PseudoDirectory(fs, root_number, root_number, 0755), ptmx_(make_ref<PtmxInode>(fs)) {}
  Result<Ref<Inode>> lookup(std::string_view name) override {
    if (name == "ptmx") return Ref<Inode>(ptmx_);
    int index = 0;
    auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
    bool const canonical = error == std::errc() && end == name.data() + name.size() && name == std::to_string(index);
    if (!canonical) return fail(Errno::NoEnt);
    if (Ref<SlaveInode> slave = files().find(index)) return Ref<Inode>(slave);
    return fail(Errno::NoEnt);
  }
  Result<std::vector<PseudoEntry>> list(Task&, uint64_t from) override {
    std::vector<PseudoEntry> entries;
    if (from <= 2) entries.push_back({"ptmx", ptmx_number, DT_CHR, 2});
    for (int index : files().indices()) {
      uint64_t const cookie = first_slave_number + static_cast<uint64_t>(index);
      if (cookie >= from) entries.push_back({std::to_string(index), cookie, DT_CHR, cookie});
    }
    return entries;
  }

 private:
  DevptsFileSystem& files() const { return static_cast<DevptsFileSystem&>(file_system()); }
  Ref<PtmxInode> ptmx_;
};

Ref<Inode> DevptsFileSystem::root() { return make_ref<RootDirectory>(*this); }

Result<uint32_t> parse_option(std::string_view text, int base) {
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return fail(Errno::Inval);
  return value;
}

Result<Options> parse_options(std::string_view data) {
  Options options;
  while (!data.empty()) {
    size_t const comma = data.find(',');
    std::string_view const item = data.substr(0, comma);
    data = comma == data.npos ? std::string_view() : data.substr(comma + 1);
    size_t const equals = item.find('=');
    std::string_view const name = item.substr(0, equals);
    std::string_view const value = equals == item.npos ? std::string_view() : item.substr(equals + 1);
    if (name.empty() || name == "newinstance") continue;
    if (name == "uid")
      options.uid = TRY(parse_option(value, 10));
    else if (name == "gid")
      options.gid = TRY(parse_option(value, 10));
    else if (name == "mode")
      options.mode = TRY(parse_option(value, 8)) & 07777;
    else if (name == "ptmxmode")
      options.ptmx_mode = TRY(parse_option(value, 8)) & 07777;
    else if (name == "max")
      options.max = static_cast<int>(std::min<uint32_t>(TRY(parse_option(value, 10)), 4096));
    else
      return fail(Errno::Inval);
  }
  return options;
}

Result<Ref<FileSystem>> create(MountRequest const& request) {
  return Ref<FileSystem>(make_ref<DevptsFileSystem>(request.kernel, TRY(parse_options(request.data))));
}

}  // namespace

FileSystemType file_system_type() {
  return {.name = "devpts", .nodev = true, .user_mountable = true, .create = &create};
}

Result<TerminalPair> make_terminal(FileSystem& file_system, uid_t uid, gid_t gid) {
  auto* fs = dynamic_cast<DevptsFileSystem*>(&file_system);
  if (fs == nullptr) return fail(Errno::Inval);
  auto [pty, slave] = TRY(fs->allocate(uid, gid));
  Ref<File> master = fs->open_master(pty, Path(), O_RDWR);
  pty->set_locked(false);
  return TerminalPair{pty, std::move(master), slave, std::to_string(pty->index())};
}

}  // namespace cofferdam::fs::devpts
