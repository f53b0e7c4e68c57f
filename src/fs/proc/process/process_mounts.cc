#include <sys/mount.h>
#include <sys/sysmacros.h>

#include <fmt/core.h>

#include "fs/proc/process/process_text.h"
#include "kernel/kernel.h"
#include "kernel/namespace/namespace_set.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/mount_text.h"

namespace cofferdam::fs::proc {

using namespace kernel;

namespace {

// Blanks and backslashes as \ooo (mangle of Linux).
std::string escape(std::string_view text) {
  std::string result;
  for (char c : text) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\\' || c == '#')
      result += fmt::format("\\{:03o}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    else
      result += c;
  }
  return result;
}

std::string mount_options(Mount const& mount) {
  unsigned long const f = mount.flags();
  std::string text = f & MS_RDONLY ? "ro" : "rw";
  if (f & MS_NOSUID) text += ",nosuid";
  if (f & MS_NODEV) text += ",nodev";
  if (f & MS_NOEXEC) text += ",noexec";
  if (f & MS_NOATIME) text += ",noatime";
  if (f & MS_NODIRATIME) text += ",nodiratime";
  if (f & MS_RELATIME) text += ",relatime";
  return text;
}

std::string extra_options(FileSystem const& fs) {
  std::string const options = fs.mount_options();
  return options.empty() ? options : "," + options;
}

std::string propagation_fields(MountInfo const& info) {
  std::string text;
  if (info.peer_group) text += fmt::format(" shared:{}", info.peer_group);
  if (info.master_group) text += fmt::format(" master:{}", info.master_group);
  if (info.unbindable) text += " unbindable";
  return text;
}

struct Row {
  MountInfo info;
  std::string mountpoint;
};

// The mounts below the target's root, with their places as seen from there.
std::vector<Row> visible_mounts(Task& target) {
  Kernel& kernel = target.kernel();
  Ref<FsContext> fs = target.fs();
  auto namespaces = target.namespaces();
  if (!fs || !namespaces) return {};
  Path const root = fs->root();
  std::vector<Row> rows;
  for (MountInfo& info : kernel.vfs().mounts(*namespaces->mounts)) {
    std::string place = kernel.vfs().path_text(info.mountpoint, root);
    if (place.starts_with("(unreachable)")) continue;
    rows.push_back({std::move(info), std::move(place)});
  }
  return rows;
}

}  // namespace

Result<std::string> mounts_text(View const&, Task& target) {
  std::string text;
  for (Row const& row : visible_mounts(target)) {
    FileSystem& fs = row.info.mount->file_system();
    text += fmt::format("{} {} {} {}{} 0 0\n", escape(row.info.mount->source()), escape(row.mountpoint), fs.type_name(),
                        mount_options(*row.info.mount), extra_options(fs));
  }
  return text;
}

Result<std::string> mountinfo_text(View const&, Task& target) {
  std::string text;
  Kernel& kernel = target.kernel();
  for (Row const& row : visible_mounts(target)) {
    Mount& mount = *row.info.mount;
    FileSystem& fs = mount.file_system();
    uint64_t const device = fs.device();
    text += fmt::format("{} {} {}:{} {} {} {}{} - {} {} {}{}\n", mount.id(), row.info.parent_id, major(device),
                        minor(device), escape(root_in_file_system(kernel.vfs(), mount)), escape(row.mountpoint),
                        mount_options(mount), propagation_fields(row.info), fs.type_name(), escape(mount.source()),
                        mount.flags() & MS_RDONLY ? "ro" : "rw", extra_options(fs));
  }
  return text;
}

Result<std::string> mountstats_text(View const&, Task& target) {
  std::string text;
  for (Row const& row : visible_mounts(target)) {
    FileSystem& fs = row.info.mount->file_system();
    text += fmt::format("device {} mounted on {} with fstype {}\n", escape(row.info.mount->source()),
                        escape(row.mountpoint), fs.type_name());
  }
  return text;
}

}  // namespace cofferdam::fs::proc
