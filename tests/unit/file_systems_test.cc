// What every writable file system owes the VFS: the same cases on tmpfs, directfs (exclusive and shared), and overlay.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>

#include "fs/host/host_file_system.h"
#include "fs/overlay/overlay.h"
#include "fs/tmpfs/tmpfs.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/task/task_internal.h"
#include "kernel/vfs/mount.h"

namespace cofferdam {
namespace {

using namespace kernel;

class FileSystemTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    char name[] = "/tmp/cofferdam-fs-XXXXXX";
    host_ = ::mkdtemp(name);
    ::chmod(host_.c_str(), 0755);
    kernel_ = std::move(*Kernel::create({}));
    auto& vfs = kernel_->vfs();
    Ref<FileSystem> root = make_root();
    ASSERT_TRUE(root);
    ASSERT_TRUE(vfs.attach(kernel_->root_mounts(), root, std::nullopt, 0));
    auto credentials = make_ref<Credentials>();
    credentials->effective = credentials->permitted = CapabilitySet::full();
    auto pid = *Pid::allocate(kernel_->root_pids());
    group_ = make_ref<ThreadGroup>(*kernel_, pid);
    task_ = make_ref<Task>(*kernel_, group_, pid, nullptr);
    task_->set_namespaces(kernel_->root_namespaces());
    MutexLock lock(task_->implementation().shared_mutex);
    Path at = vfs.root_of(kernel_->root_mounts());
    task_->implementation().fs = make_ref<FsContext>(at, at, 022);
    task_->implementation().files = make_ref<FdTable>();
    task_->implementation().credentials = credentials;
  }

  void TearDown() override {
    {
      MutexLock lock(task_->implementation().shared_mutex);
      task_->implementation().fs = nullptr;
    }
    task_ = nullptr;
    group_ = nullptr;
    kernel_ = nullptr;
    std::filesystem::remove_all(host_);
  }

  Ref<FileSystem> host_root(bool exclusive) {
    host::OwnedFd fd(::open(host_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    return *fs::host::create(kernel_->vfs(), std::move(fd), {.exclusive = exclusive, .source = "test"});
  }

  Ref<FileSystem> make_root() {
    if (GetParam() == "tmpfs") return *fs::tmpfs::create(*kernel_, {.mode = 0755});
    if (GetParam() == "directfs") return host_root(true);
    if (GetParam() == "shared") return host_root(false);
    prepare_lower();
    auto upper = *fs::tmpfs::create(*kernel_, {.mode = 0755});
    return *fs::overlay::create(kernel_->vfs(), {.upper = upper->root(), .lowers = {host_root(true)->root()}});
  }

  virtual void prepare_lower() {}

  Vfs& vfs() { return kernel_->vfs(); }
  void be_user(uid_t uid) {
    auto who = make_ref<Credentials>();
    who->uid = who->euid = who->suid = who->fsuid = uid;
    who->gid = who->egid = who->sgid = who->fsgid = uid;
    task_->set_credentials(who);
  }
  Errno error_of(Result<void> const& r) { return r ? Errno::None : r.error().code; }
  template <class T>
  Errno error_of(Result<T> const& r) {
    return r ? Errno::None : r.error().code;
  }

  Result<Ref<File>> open(std::string_view path, int flags, mode_t mode = 0644) {
    return vfs().open(*task_, Path(), path, flags, mode);
  }
  Errno write_file(std::string_view path, std::string_view text, int flags = O_CREAT | O_TRUNC) {
    auto file = open(path, flags | O_WRONLY);
    if (!file) return file.error().code;
    KernelSource source(as_bytes(text));
    auto n = (*file)->write(*task_, source, 0, {.append = (flags & O_APPEND) != 0});
    return n ? Errno::None : n.error().code;
  }
  std::string read_file(std::string_view path) {
    auto file = open(path, O_RDONLY);
    if (!file) return "!" + std::string(errno_name(file.error().code));
    return read_all(**file);
  }
  std::string read_all(File& file) {
    std::string text(1 << 16, 0);
    KernelSink sink(std::as_writable_bytes(std::span(text.data(), text.size())));
    auto n = file.read(*task_, sink, 0, {});
    if (!n) return "!" + std::string(errno_name(n.error().code));
    text.resize(*n);
    return text;
  }
  Result<Attributes> stat(std::string_view path, bool follow = true) {
    return vfs().attributes(TRY(vfs().lookup(*task_, Path(), path, {.follow_last = follow})));
  }
  Result<void> mkdir(std::string_view path, mode_t mode = 0755) { return vfs().mkdir(*task_, Path(), path, mode); }
  Result<void> unlink(std::string_view path) { return vfs().unlink(*task_, Path(), path); }
  Result<void> rmdir(std::string_view path) { return vfs().rmdir(*task_, Path(), path); }
  Result<void> symlink(std::string_view target, std::string_view path) {
    return vfs().symlink(*task_, target, Path(), path);
  }
  Result<void> rename(std::string_view from, std::string_view to, RenameMode mode = RenameMode::Replace) {
    return vfs().rename(*task_, Path(), from, Path(), to, mode);
  }
  Result<void> link(std::string_view from, std::string_view to) {
    return vfs().link(*task_, TRY(vfs().lookup(*task_, Path(), from, {.follow_last = false})), Path(), to);
  }
  Result<void> change(std::string_view path, AttributeChange c) {
    return vfs().set_attributes(*task_, TRY(vfs().lookup(*task_, Path(), path, {})), c);
  }

  struct Names : DirectorySink {
    std::multiset<std::string> all;
    bool add(std::string_view name, uint64_t, unsigned char, uint64_t) override {
      all.emplace(name);
      return true;
    }
  };
  std::multiset<std::string> list(std::string_view path) {
    Names names;
    auto file = open(path, O_RDONLY | O_DIRECTORY);
    if (!file || !(*file)->iterate(*task_, 0, names)) return {"!"};
    names.all.erase(".");
    names.all.erase("..");
    return names.all;
  }

  std::string host_;
  std::unique_ptr<Kernel> kernel_;
  Ref<ThreadGroup> group_;
  Ref<Task> task_;
};

using Strings = std::multiset<std::string>;

TEST_P(FileSystemTest, file_is_made_written_read_and_removed) {
  EXPECT_EQ(read_file("/a"), "!ENOENT");
  EXPECT_EQ(write_file("/a", "hello"), Errno::None);
  EXPECT_EQ(read_file("/a"), "hello");
  auto a = stat("/a");
  ASSERT_TRUE(a);
  EXPECT_EQ(a->size, 5u);
  EXPECT_EQ(a->mode, mode_t{S_IFREG | 0644});
  EXPECT_EQ(a->link_count, 1u);
  EXPECT_EQ(write_file("/a", "xx", 0), Errno::None);
  EXPECT_EQ(read_file("/a"), "xxllo");
  EXPECT_EQ(write_file("/a", "end", O_APPEND), Errno::None) << "append";
  EXPECT_EQ(error_of(open("/a", O_CREAT | O_EXCL | O_WRONLY)), Errno::Exist);
  EXPECT_TRUE(unlink("/a"));
  EXPECT_EQ(read_file("/a"), "!ENOENT");
  EXPECT_EQ(error_of(unlink("/a")), Errno::NoEnt);
}

TEST_P(FileSystemTest, open_file_outlives_its_name) {
  EXPECT_EQ(write_file("/a", "still here"), Errno::None);
  auto file = open("/a", O_RDWR);
  ASSERT_TRUE(file);
  ASSERT_TRUE(unlink("/a"));
  EXPECT_EQ(read_all(**file), "still here");
  auto a = (*file)->attributes();
  ASSERT_TRUE(a);
  EXPECT_EQ(a->link_count, 0u);
  EXPECT_TRUE((*file)->truncate(*task_, 5));
  EXPECT_EQ(read_all(**file), "still");
}

TEST_P(FileSystemTest, directories) {
  ASSERT_TRUE(mkdir("/d"));
  EXPECT_EQ(error_of(mkdir("/d")), Errno::Exist);
  EXPECT_EQ(error_of(mkdir("/no/d")), Errno::NoEnt);
  ASSERT_TRUE(mkdir("/d/e", 0700));
  EXPECT_EQ(stat("/d/e")->mode, mode_t{S_IFDIR | 0700});
  EXPECT_EQ(write_file("/d/f", "1"), Errno::None);
  EXPECT_EQ(list("/d"), (Strings{"e", "f"}));
  EXPECT_EQ(error_of(rmdir("/d")), Errno::NotEmpty);
  EXPECT_EQ(error_of(unlink("/d/e")), Errno::IsDir);
  EXPECT_EQ(error_of(rmdir("/d/f")), Errno::NotDir);
  EXPECT_EQ(error_of(rmdir("/d/e/.")), Errno::Inval);
  EXPECT_EQ(error_of(open("/d/f/g", O_RDONLY)), Errno::NotDir);
  EXPECT_EQ(error_of(open("/d", O_WRONLY)), Errno::IsDir);
  EXPECT_TRUE(rmdir("/d/e"));
  EXPECT_TRUE(unlink("/d/f"));
  EXPECT_TRUE(rmdir("/d"));
  EXPECT_EQ(error_of(stat("/d")), Errno::NoEnt);
}

TEST_P(FileSystemTest, nothing_is_made_in_a_removed_directory) {
  ASSERT_TRUE(mkdir("/d"));
  auto at = vfs().lookup(*task_, Path(), "/d", {});
  ASSERT_TRUE(at);
  ASSERT_TRUE(rmdir("/d"));
  EXPECT_EQ(error_of(vfs().mkdir(*task_, *at, "x", 0755)), Errno::NoEnt);
  EXPECT_EQ(error_of(vfs().open(*task_, *at, "x", O_CREAT | O_WRONLY, 0644)), Errno::NoEnt);
}

TEST_P(FileSystemTest, symlinks) {
  ASSERT_TRUE(mkdir("/d"));
  EXPECT_EQ(write_file("/d/f", "text"), Errno::None);
  ASSERT_TRUE(symlink("d", "/l"));
  ASSERT_TRUE(symlink("/l/f", "/m"));
  ASSERT_TRUE(symlink("loop", "/loop"));
  ASSERT_TRUE(symlink("nothing", "/dangling"));
  EXPECT_EQ(read_file("/l/f"), "text");
  EXPECT_EQ(read_file("/m"), "text");
  EXPECT_EQ(read_file("/loop"), "!ELOOP");
  EXPECT_EQ(error_of(open("/m", O_RDONLY | O_NOFOLLOW)), Errno::Loop);
  EXPECT_EQ(error_of(open("/m/", O_RDONLY)), Errno::NotDir);
  EXPECT_TRUE(S_ISLNK(stat("/l", false)->mode));
  EXPECT_EQ(stat("/m", false)->size, 4u);
  EXPECT_EQ(write_file("/dangling", "made"), Errno::None);
  EXPECT_EQ(read_file("/nothing"), "made");
  EXPECT_EQ(error_of(open("/dangling", O_CREAT | O_EXCL | O_WRONLY)), Errno::Exist);
}

TEST_P(FileSystemTest, hard_links) {
  EXPECT_EQ(write_file("/a", "one"), Errno::None);
  ASSERT_TRUE(link("/a", "/b"));
  EXPECT_EQ(error_of(link("/a", "/b")), Errno::Exist);
  EXPECT_EQ(stat("/a")->link_count, 2u);
  EXPECT_EQ(stat("/a")->inode, stat("/b")->inode);
  EXPECT_EQ(write_file("/b", "two"), Errno::None);
  EXPECT_EQ(read_file("/a"), "two");
  ASSERT_TRUE(unlink("/a"));
  EXPECT_EQ(stat("/b")->link_count, 1u);
  EXPECT_TRUE(change("/b", {.mode = 0600}));
  EXPECT_EQ(stat("/b")->mode, mode_t{S_IFREG | 0600});
  EXPECT_EQ(read_file("/b"), "two");
  ASSERT_TRUE(mkdir("/d"));
  EXPECT_EQ(error_of(link("/d", "/e")), Errno::Perm);
}

TEST_P(FileSystemTest, rename_of_files) {
  EXPECT_EQ(write_file("/a", "A"), Errno::None);
  EXPECT_EQ(write_file("/b", "B"), Errno::None);
  EXPECT_EQ(error_of(rename("/a", "/b", RenameMode::NoReplace)), Errno::Exist);
  ASSERT_TRUE(rename("/a", "/b"));
  EXPECT_EQ(read_file("/b"), "A");
  EXPECT_EQ(read_file("/a"), "!ENOENT");
  EXPECT_EQ(write_file("/a", "new"), Errno::None);
  ASSERT_TRUE(rename("/a", "/b", RenameMode::Exchange));
  EXPECT_EQ(read_file("/a"), "A");
  EXPECT_EQ(read_file("/b"), "new");
  EXPECT_EQ(list("/"), (Strings{"a", "b"}));
}

TEST_P(FileSystemTest, rename_of_directories) {
  ASSERT_TRUE(mkdir("/a"));
  ASSERT_TRUE(mkdir("/a/b"));
  EXPECT_EQ(write_file("/a/b/f", "deep"), Errno::None);
  ASSERT_TRUE(mkdir("/c"));
  EXPECT_EQ(error_of(rename("/a", "/a/b/x")), Errno::Inval);
  EXPECT_EQ(error_of(rename("/a/b/f", "/c")), Errno::IsDir);
  EXPECT_EQ(error_of(rename("/c", "/a/b/f")), Errno::NotDir);
  EXPECT_EQ(error_of(rename("/c", "/a")), Errno::NotEmpty);
  ASSERT_TRUE(rename("/a/b", "/c"));
  EXPECT_EQ(read_file("/c/f"), "deep");
  EXPECT_EQ(list("/a"), Strings{});
  ASSERT_TRUE(rename("/c", "/a/moved"));
  EXPECT_EQ(read_file("/a/moved/f"), "deep");
  EXPECT_EQ(write_file("/a/moved/g", "more"), Errno::None);
  EXPECT_EQ(list("/a/moved"), (Strings{"f", "g"}));
}

TEST_P(FileSystemTest, dot_dot_and_path_text) {
  ASSERT_TRUE(mkdir("/d"));
  ASSERT_TRUE(mkdir("/d/e"));
  auto at = vfs().lookup(*task_, Path(), "/d/e/../e/./..", {});
  ASSERT_TRUE(at);
  Path root = vfs().root_of(kernel_->root_mounts());
  EXPECT_EQ(vfs().path_text(*at, root), "/d");
  EXPECT_EQ(vfs().path_text(*vfs().lookup(*task_, Path(), "/../../d/e", {}), root), "/d/e");
  EXPECT_EQ(vfs().path_text(*vfs().lookup(*task_, Path(), "/", {}), root), "/");
}

TEST_P(FileSystemTest, modes_owners_and_times) {
  EXPECT_EQ(write_file("/a", "x"), Errno::None);
  ASSERT_TRUE(change("/a", {.mode = 04755}));
  EXPECT_EQ(stat("/a")->mode, mode_t{S_IFREG | 04755});
  ASSERT_TRUE(change("/a", {.uid = 1000, .gid = 1001}));
  EXPECT_EQ(stat("/a")->uid, 1000u);
  EXPECT_EQ(stat("/a")->gid, 1001u);
  EXPECT_EQ(stat("/a")->mode, mode_t{S_IFREG | 0755}) << "chown takes set-user-ID off";
  AttributeChange times;
  times.modified = AttributeChange::Time{.now = false, .value = {.tv_sec = 123456789, .tv_nsec = 5000}};
  ASSERT_TRUE(change("/a", times));
  EXPECT_EQ(stat("/a")->modified.tv_sec, 123456789);
  EXPECT_EQ(stat("/a")->modified.tv_nsec, 5000);
  ASSERT_TRUE(change("/a", {.size = 10}));
  EXPECT_EQ(stat("/a")->size, 10u);
  EXPECT_EQ(read_file("/a"), std::string("x\0\0\0\0\0\0\0\0\0", 10));
}

TEST_P(FileSystemTest, permissions_of_another_user) {
  ASSERT_TRUE(mkdir("/shut", 0700));
  ASSERT_TRUE(mkdir("/sticky", 0777));
  ASSERT_TRUE(change("/sticky", {.mode = 01777}));
  EXPECT_EQ(write_file("/shut/f", "secret"), Errno::None);
  EXPECT_EQ(write_file("/sticky/roots", "r"), Errno::None);
  ASSERT_TRUE(change("/sticky/roots", {.mode = 0666}));
  be_user(1000);
  EXPECT_EQ(read_file("/shut/f"), "!EACCES");
  EXPECT_EQ(error_of(mkdir("/x")), Errno::Acces);
  EXPECT_EQ(error_of(unlink("/sticky/roots")), Errno::Perm);
  EXPECT_EQ(write_file("/sticky/mine", "m"), Errno::None);
  EXPECT_EQ(stat("/sticky/mine")->uid, 1000u);
  EXPECT_EQ(error_of(change("/sticky/roots", {.mode = 0600})), Errno::Perm);
  EXPECT_EQ(error_of(change("/sticky/mine", {.uid = 0})), Errno::Perm);
  EXPECT_TRUE(unlink("/sticky/mine"));
}

TEST_P(FileSystemTest, set_group_id_directories_hand_their_group_down) {
  ASSERT_TRUE(mkdir("/d"));
  ASSERT_TRUE(change("/d", {.gid = 500}));
  ASSERT_TRUE(change("/d", {.mode = 02775}));
  ASSERT_TRUE(mkdir("/d/sub"));
  EXPECT_EQ(write_file("/d/f", ""), Errno::None);
  EXPECT_EQ(stat("/d/f")->gid, 500u);
  EXPECT_EQ(stat("/d/sub")->gid, 500u);
  EXPECT_TRUE(stat("/d/sub")->mode & S_ISGID);
}

TEST_P(FileSystemTest, executions_and_writers_exclude_each_other) {
  EXPECT_EQ(write_file("/p", "#!"), Errno::None);
  ASSERT_TRUE(change("/p", {.mode = 0755}));
  {
    auto running = vfs().open_executable(*task_, Path(), "/p", true);
    ASSERT_TRUE(running);
    EXPECT_EQ(error_of(open("/p", O_WRONLY)), Errno::TxtBsy);
  }
  auto writer = open("/p", O_WRONLY);
  ASSERT_TRUE(writer);
  EXPECT_EQ(error_of(vfs().open_executable(*task_, Path(), "/p", true)), Errno::TxtBsy);
}

TEST_P(FileSystemTest, names_of_a_large_directory_come_once_each) {
  ASSERT_TRUE(mkdir("/d"));
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(write_file("/d/" + std::to_string(i), ""), Errno::None);
  // By a sink that takes three at a time, while others are removed.
  struct Few : DirectorySink {
    std::multiset<std::string>& all;
    int room = 3;
    uint64_t next = 0;
    explicit Few(std::multiset<std::string>& a) : all(a) {}
    bool add(std::string_view name, uint64_t, unsigned char, uint64_t cookie) override {
      if (room-- == 0) return false;
      all.emplace(name);
      next = cookie;
      return true;
    }
  };
  std::multiset<std::string> seen;
  auto file = open("/d", O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(file);
  uint64_t position = 0;
  for (int rounds = 0; rounds < 1000; ++rounds) {
    Few few(seen);
    few.next = position;
    ASSERT_TRUE((*file)->iterate(*task_, position, few));
    if (few.next == position) break;
    position = few.next;
  }
  EXPECT_EQ(seen.size(), 1002u);
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 1002u);
}

TEST_P(FileSystemTest, extended_attributes) {
  EXPECT_EQ(write_file("/a", "x"), Errno::None);
  Inode& inode = *vfs().lookup(*task_, Path(), "/a", {})->dentry->inode();
  auto set = inode.set_xattr("user.colour", "blue", 0);
  if (!set && set.error() == Errno::OpNotSupp) GTEST_SKIP() << "the host's file system has none";
  ASSERT_TRUE(set);
  EXPECT_EQ(*inode.get_xattr("user.colour"), "blue");
  EXPECT_EQ(error_of(inode.get_xattr("user.other")), Errno::NoData);
  EXPECT_EQ(inode.list_xattr()->size(), 1u);
  EXPECT_TRUE(inode.remove_xattr("user.colour"));
  EXPECT_EQ(error_of(inode.remove_xattr("user.colour")), Errno::NoData);
}

TEST_P(FileSystemTest, temporary_files_can_get_a_name) {
  auto file = open("/", O_TMPFILE | O_RDWR, 0600);
  if (!file && file.error() == Errno::OpNotSupp) GTEST_SKIP();
  ASSERT_TRUE(file);
  EXPECT_EQ(list("/"), Strings{});
  ASSERT_TRUE(vfs().link(*task_, (*file)->path(), Path(), "/named"));
  EXPECT_EQ(list("/"), Strings{"named"});
}

TEST_P(FileSystemTest, mounts_hide_what_is_below) {
  ASSERT_TRUE(mkdir("/m"));
  EXPECT_EQ(write_file("/m/below", "b"), Errno::None);
  auto at = vfs().lookup(*task_, Path(), "/m", {});
  ASSERT_TRUE(vfs().attach(kernel_->root_mounts(), *fs::tmpfs::create(*kernel_, {}), *at, MS_NODEV));
  EXPECT_EQ(list("/m"), Strings{});
  EXPECT_EQ(write_file("/m/above", "a"), Errno::None);
  EXPECT_EQ(error_of(rename("/m/above", "/above")), Errno::XDev);
  EXPECT_EQ(error_of(rmdir("/m")), Errno::Busy);
  EXPECT_EQ(list("/m/.."), Strings{"m"});
  auto top = vfs().lookup(*task_, Path(), "/m", {});
  at = Path();
  EXPECT_TRUE(vfs().unmount(*task_, *top, 0));
  EXPECT_EQ(list("/m"), Strings{"below"});
}

INSTANTIATE_TEST_SUITE_P(All, FileSystemTest, ::testing::Values("tmpfs", "directfs", "shared", "overlay"),
                         [](auto const& info) { return info.param; });

// ---- what only an overlay does

class OverlayTest : public FileSystemTest {
 protected:
  void prepare_lower() override {
    std::filesystem::create_directories(host_ + "/etc/apt/conf");
    put("etc/passwd", "root:x:0:0");
    put("etc/apt/list", "deb");
    put("etc/apt/conf/one", "1");
    put("linked", "same");
    std::filesystem::create_hard_link(host_ + "/linked", host_ + "/other");
    std::filesystem::create_symlink("etc/passwd", host_ + "/link");
  }
  void put(std::string const& name, std::string const& text) {
    int fd = ::open((host_ + "/" + name).c_str(), O_CREAT | O_WRONLY, 0644);
    ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::close(fd);
  }
  std::string host_file(std::string const& name) {
    char text[256];
    int fd = ::open((host_ + "/" + name).c_str(), O_RDONLY);
    ssize_t n = fd < 0 ? 0 : ::read(fd, text, sizeof text);
    ::close(fd);
    return std::string(text, static_cast<size_t>(n));
  }
};

TEST_P(OverlayTest, lower_files_are_seen_and_never_changed) {
  auto before = stat("/etc/passwd");
  EXPECT_EQ(read_file("/link"), "root:x:0:0");
  EXPECT_EQ(write_file("/etc/passwd", "ROOT", 0), Errno::None);
  EXPECT_EQ(read_file("/etc/passwd"), "ROOT:x:0:0");
  EXPECT_EQ(stat("/etc/passwd")->inode, before->inode);
  EXPECT_EQ(list("/etc"), (Strings{"apt", "passwd"}));
  EXPECT_EQ(host_file("etc/passwd"), "root:x:0:0");
}

TEST_P(OverlayTest, chmod_copies_up) {
  ASSERT_TRUE(change("/etc/apt/list", {.mode = 0600}));
  EXPECT_EQ(stat("/etc/apt/list")->mode, mode_t{S_IFREG | 0600});
  EXPECT_EQ(read_file("/etc/apt/list"), "deb");
  struct stat s;
  ASSERT_EQ(::stat((host_ + "/etc/apt/list").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0644u);
}

TEST_P(OverlayTest, removed_lower_names_stay_removed) {
  ASSERT_TRUE(unlink("/etc/passwd"));
  EXPECT_EQ(read_file("/etc/passwd"), "!ENOENT");
  EXPECT_EQ(list("/etc"), Strings{"apt"});
  EXPECT_EQ(write_file("/etc/passwd", "new"), Errno::None);
  EXPECT_EQ(read_file("/etc/passwd"), "new");
  EXPECT_EQ(error_of(rmdir("/etc/apt")), Errno::NotEmpty);
  ASSERT_TRUE(unlink("/etc/apt/list"));
  ASSERT_TRUE(unlink("/etc/apt/conf/one"));
  ASSERT_TRUE(rmdir("/etc/apt/conf"));
  ASSERT_TRUE(rmdir("/etc/apt"));
  EXPECT_EQ(error_of(stat("/etc/apt")), Errno::NoEnt);
  ASSERT_TRUE(mkdir("/etc/apt"));
  EXPECT_EQ(list("/etc/apt"), Strings{}) << "the new directory does not show the lower one's contents";
  EXPECT_EQ(host_file("etc/apt/list"), "deb");
}

TEST_P(OverlayTest, lower_directories_can_be_renamed) {
  ASSERT_TRUE(rename("/etc/apt", "/moved"));
  EXPECT_EQ(list("/etc"), Strings{"passwd"});
  EXPECT_EQ(list("/moved"), (Strings{"conf", "list"}));
  EXPECT_EQ(read_file("/moved/conf/one"), "1");
  EXPECT_EQ(write_file("/moved/conf/two", "2"), Errno::None);
  ASSERT_TRUE(rename("/moved", "/etc/back"));
  EXPECT_EQ(list("/etc/back/conf"), (Strings{"one", "two"}));
  EXPECT_EQ(error_of(stat("/etc/apt")), Errno::NoEnt);
  ASSERT_TRUE(rename("/etc/back", "/etc/apt"));
  EXPECT_EQ(list("/etc/apt/conf"), (Strings{"one", "two"}));
}

TEST_P(OverlayTest, names_of_one_lower_file_stay_one_file) {
  EXPECT_EQ(read_file("/linked"), "same");
  EXPECT_EQ(read_file("/other"), "same");
  EXPECT_EQ(write_file("/linked", "changed"), Errno::None);
  EXPECT_EQ(read_file("/other"), "changed");
  ASSERT_TRUE(link("/etc/passwd", "/p"));
  EXPECT_EQ(write_file("/p", "x", 0), Errno::None);
  EXPECT_EQ(read_file("/etc/passwd"), "xoot:x:0:0");
}

TEST_P(OverlayTest, an_open_and_removed_lower_file_can_still_be_changed) {
  auto file = open("/etc/passwd", O_RDONLY);
  ASSERT_TRUE(file);
  ASSERT_TRUE(unlink("/etc/passwd"));
  EXPECT_TRUE(vfs().set_attributes(*task_, (*file)->path(), {.mode = 0600}));
  EXPECT_EQ((*file)->attributes()->mode, mode_t{S_IFREG | 0600});
  EXPECT_EQ(read_all(**file), "root:x:0:0");
  EXPECT_EQ(list("/etc"), Strings{"apt"});
}

INSTANTIATE_TEST_SUITE_P(All, OverlayTest, ::testing::Values("overlay"), [](auto const& info) { return info.param; });

// ---- what only directfs meets: the host changes things too

class SharedMountTest : public FileSystemTest {};

TEST_P(SharedMountTest, changes_of_the_host_are_seen) {
  EXPECT_EQ(error_of(stat("/f")), Errno::NoEnt);
  int fd = ::open((host_ + "/f").c_str(), O_CREAT | O_WRONLY, 0640);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(stat("/f")->mode, mode_t{S_IFREG | 0640});
  ASSERT_EQ(::write(fd, "12345", 5), 5);
  EXPECT_EQ(stat("/f")->size, 5u);
  ::fchmod(fd, 0600);
  EXPECT_EQ(stat("/f")->mode, mode_t{S_IFREG | 0600});
  ::close(fd);
  ASSERT_EQ(::unlink((host_ + "/f").c_str()), 0);
  EXPECT_EQ(error_of(stat("/f")), Errno::NoEnt);
  ASSERT_EQ(::symlink("/etc/passwd", (host_ + "/f").c_str()), 0);
  EXPECT_EQ(read_file("/f"), "!ENOENT") << "a host symlink leads within the guest's tree, where nothing is";
}

INSTANTIATE_TEST_SUITE_P(All, SharedMountTest, ::testing::Values("shared"),
                         [](auto const& info) { return info.param; });

}  // namespace
}  // namespace cofferdam
