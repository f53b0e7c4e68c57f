#include "sentry/mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "dev/memory_devices.h"
#include "dev/terminal_devices.h"
#include "fs/dev/populate.h"
#include "fs/devpts/devpts.h"
#include "fs/host/host_changes.h"
#include "fs/host/host_file_system.h"
#include "fs/host/host_socket.h"
#include "fs/overlay/overlay.h"
#include "fs/proc/proc.h"
#include "fs/sys/sys.h"
#include "fs/tmpfs/tmpfs.h"
#include "kernel/ipc/pipe.h"
#include "kernel/namespace/namespace_set.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/mount.h"
#include "oci/mount_options.h"
#include "socket/host/register.h"
#include "socket/inet/register.h"
#include "socket/unix/register.h"

namespace cofferdam::sentry {

namespace {

using kernel::FileSystem;
using kernel::Inode;
using kernel::Kernel;
using kernel::NewInode;
using kernel::Path;

class TreeBuilder {
 public:
  TreeBuilder(Kernel& kernel, kernel::NamespaceSet const& namespaces, Config const& config, Descriptors& descriptors)
      : kernel_(kernel), namespaces_(namespaces), config_(config), descriptors_(descriptors) {}

  Outcome<> build() {
    ATTEMPT(mount_root());
    size_t next_bind = 0;
    bool has_dev = false;
    for (auto& m : config_.spec.mounts) {
      has_dev |= m.destination == "/dev";
      if (is_bind(m))
        ATTEMPT(mount_bind(m, descriptors_.binds[next_bind++]));
      else
        ATTEMPT(mount_type(m));
      // At once: what is mounted below /dev comes later, and its mount points are made in it.
      if (m.destination == "/dev" && !is_bind(m)) ATTEMPT(make_devices());
    }
    // runc makes device nodes in the root itself when nothing is mounted there; the host's directory is left as it is.
    if (!has_dev && kernel_.file_system_type("tmpfs")) {
      ATTEMPT(mount_type({"/dev", "tmpfs", "tmpfs", {"nosuid", "mode=755"}}));
      ATTEMPT(make_devices());
    }
    for (auto& path : config_.spec.linux_config.readonly_paths) ATTEMPT(make_read_only(path));
    for (auto& path : config_.spec.linux_config.masked_paths) ATTEMPT(mask(path));
    return {};
  }

 private:
  std::unexpected<std::string> failed(oci::Mount const& m, Error const& e) {
    return refuse(fmt::format("cannot mount '{}' ({}) at {}: {}", m.source, m.type.empty() ? "bind" : m.type,
                              m.destination, errno_text(e.code)));
  }

  Outcome<> mount_root() {
    bool const memory = config_.settings.overlay == Overlay::Memory;
    auto root = fs::host::create(kernel_.vfs(), std::move(descriptors_.root), {.exclusive = true, .source = "/"});
    if (root && memory) root = overlay_over(*root);
    if (!root)
      return refuse(
          fmt::format("cannot use '{}' as the root: {}", config_.spec.root.path, errno_text(root.error().code)));
    auto mount =
        kernel_.vfs().attach(*namespaces_.mounts, *root, std::nullopt, config_.spec.root.readonly ? MS_RDONLY : 0);
    if (!mount) return refuse(fmt::format("cannot mount the root: {}", errno_text(mount.error().code)));
    return {};
  }

  // Writes go to memory; the root directory itself keeps the lower one's owner and mode.
  Result<Ref<FileSystem>> overlay_over(Ref<FileSystem> const& lower) {
    auto a = TRY(lower->root()->attributes());
    auto upper = TRY(fs::tmpfs::create(kernel_, {.mode = a.mode & 07777, .uid = a.uid, .gid = a.gid}));
    return fs::overlay::create(kernel_.vfs(), {.upper = upper->root(), .lowers = {lower->root()}});
  }

  Outcome<> mount_bind(oci::Mount const& m, gofer::DonatedMount& donated) {
    auto fs = fs::host::create(kernel_.vfs(), std::move(donated.fd), {.exclusive = false, .source = m.source});
    if (!fs) return failed(m, fs.error());
    return attach(m, *fs, donated.directory, oci::parse_mount_options(m).flags);
  }

  Outcome<> mount_type(oci::Mount const& m) {
    oci::ParsedOptions o = oci::parse_mount_options(m);
    std::string type = m.type;
    // Not kernel interfaces of this sandbox: an empty directory stands in, so that programs find the mount point and no
    // more.
    if (type == "mqueue" || type == "cgroup" || type == "cgroup2") {
      type = "tmpfs";
      o.flags |= m.type == "mqueue" ? 0 : MS_RDONLY;
      o.data = m.type == "mqueue" ? "mode=1777,size=0" : "mode=0555,size=0";
    }
    auto* known = kernel_.file_system_type(type);
    if (!known)
      return refuse(
          fmt::format("mount at {}: file system type '{}' is not supported; remove the mount from config.json",
                      m.destination, type));
    auto fs = known->create({kernel_, nullptr, *namespaces_.pids_for_children, namespaces_, m.source, o.data});
    if (!fs) return failed(m, fs.error());
    return attach(m, *fs, true, o.flags);
  }

  Outcome<> attach(oci::Mount const& m, Ref<FileSystem> fs, bool directory, unsigned long flags) {
    auto at = kernel_.vfs().make_mountpoint(*namespaces_.mounts, m.destination, directory);
    if (!at) return failed(m, at.error());
    auto mount = kernel_.vfs().attach(*namespaces_.mounts, std::move(fs), *at, flags);
    if (!mount) return failed(m, mount.error());
    return {};
  }

  // A node in a directory; one that is there already stays.
  Outcome<> make_device(oci::Device const& d) {
    auto failed = [&](Error const& e) {
      return refuse(fmt::format("cannot make device {}: {}", d.path, errno_text(e.code)));
    };
    size_t slash = d.path.rfind('/');
    if (slash == std::string::npos || slash + 1 == d.path.size())
      return refuse(fmt::format("linux.devices: '{}' is not an absolute path", d.path));
    auto directory =
        kernel_.vfs().make_mountpoint(*namespaces_.mounts, slash == 0 ? "/" : d.path.substr(0, slash), true);
    if (!directory) return failed(directory.error());
    mode_t type = d.type == 'b' ? S_IFBLK : d.type == 'p' ? S_IFIFO : S_IFCHR;
    Inode& parent = *directory->dentry->inode();
    WriteLock lock(parent.directory_lock());
    auto made = parent.create(
        d.path.substr(slash + 1),
        {.mode = type | (d.mode & 07777), .uid = d.uid, .gid = d.gid, .special_device = makedev(d.major, d.minor)});
    if (!made && made.error() != Errno::Exist) return failed(made.error());
    return {};
  }

  Outcome<> make_devices() {
    auto at = kernel_.vfs().resolve(*namespaces_.mounts, "/dev");
    auto made = at ? fs::dev::populate_dev(kernel_, *at) : Result<void>(std::unexpected(at.error()));
    if (!made) return refuse(fmt::format("cannot fill /dev: {}", errno_text(made.error().code)));
    for (auto& d : config_.spec.linux_config.devices) ATTEMPT(make_device(d));
    return {};
  }

  // What does not exist needs neither protection nor a mask.
  Outcome<> make_read_only(std::string const& path) {
    auto at = kernel_.vfs().resolve(*namespaces_.mounts, path);
    if (!at) return {};
    auto bound = kernel_.vfs().mount_bind(*at, *at, true);
    auto top = bound ? kernel_.vfs().resolve(*namespaces_.mounts, path) : Result<Path>(std::unexpected(bound.error()));
    if (!top)
      return refuse(fmt::format("linux.readonlyPaths: cannot protect {}: {}", path, errno_text(top.error().code)));
    top->mount->set_flags(top->mount->flags() | MS_RDONLY);
    return {};
  }

  // An empty read-only directory over a directory, /dev/null over anything else.
  Outcome<> mask(std::string const& path) {
    auto at = kernel_.vfs().resolve(*namespaces_.mounts, path);
    if (!at) return {};
    if (at->dentry->is_directory()) return mount_type({path, "tmpfs", "tmpfs", {"ro", "size=0", "mode=0555"}});
    auto null = kernel_.vfs().resolve(*namespaces_.mounts, "/dev/null");
    auto bound = null ? kernel_.vfs().mount_bind(*null, *at, false) : Result<void>(std::unexpected(null.error()));
    if (!bound)
      return refuse(fmt::format("linux.maskedPaths: cannot mask {}: {}", path, errno_text(bound.error().code)));
    return {};
  }

  Kernel& kernel_;
  kernel::NamespaceSet const& namespaces_;
  Config const& config_;
  Descriptors& descriptors_;
};

}  // namespace

void register_modules(Kernel& kernel, Settings const& settings, Descriptors& descriptors) {
  kernel.register_file_system(fs::proc::file_system_type());
  kernel.register_file_system(fs::sys::file_system_type());
  kernel.register_file_system(fs::tmpfs::file_system_type());
  kernel.register_file_system(fs::devpts::file_system_type());
  kernel.register_file_system(fs::overlay::file_system_type());
  dev::register_memory_devices(kernel);
  dev::register_terminal_devices(kernel);
  kernel.vfs().set_fifo_opener(kernel::open_fifo);
  kernel.vfs().notifications().set_outside(fs::host::watch_outside_changes(kernel));
  unix_sockets::register_family(kernel, settings.host_sockets ? unix_sockets::HostConnector(fs::host::connect_socket)
                                                              : unix_sockets::HostConnector());
  if (settings.network == Network::Host)
    host_sockets::register_families(kernel, std::move(descriptors.proc_net), std::move(descriptors.broker));
  else
    inet::register_families(kernel);
}

Outcome<> build_file_tree(Kernel& kernel, kernel::NamespaceSet const& namespaces, Config const& config,
                          Descriptors& descriptors) {
  return TreeBuilder(kernel, namespaces, config, descriptors).build();
}

}  // namespace cofferdam::sentry
