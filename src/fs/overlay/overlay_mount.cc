// Overlays that guests mount: their layers are directories of the guest's tree.
#include <algorithm>

#include "fs/overlay/overlay_inode.h"
#include "kernel/kernel.h"
#include "kernel/task/task.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/vfs_state.h"

namespace cofferdam::fs::overlay {
namespace {

constexpr size_t max_lowers = 500;  // OVL_MAX_STACK of Linux
constexpr int max_depth = 2;        // FILESYSTEM_MAX_STACK_DEPTH

struct Words {
  std::vector<std::string> lowers;
  std::string upper, work;
  bool user_xattrs = false;
};

// Up to a separator; a backslash takes what follows as it is.
std::string take_until(std::string_view& text, char separator) {
  std::string word;
  size_t at = 0;
  for (; at < text.size() && text[at] != separator; ++at) {
    if (text[at] == '\\' && at + 1 < text.size()) {
      if (separator == ',') word += text[at];  // kept for the next division
      ++at;
    }
    word += text[at];
  }
  text.remove_prefix(std::min(at + 1, text.size()));
  return word;
}

std::string unescaped(std::string_view text) { return take_until(text, '\0'); }

Result<Words> parse(std::string_view data) {
  Words words;
  while (!data.empty()) {
    std::string const item = take_until(data, ',');
    std::string_view key = item, value;
    if (size_t equals = key.find('='); equals != std::string_view::npos) {
      value = key.substr(equals + 1);
      key = key.substr(0, equals);
    }
    if (key == "lowerdir") {
      words.lowers.clear();
      while (!value.empty()) words.lowers.push_back(take_until(value, ':'));
    } else if (key == "upperdir") {
      words.upper = unescaped(value);
    } else if (key == "workdir") {
      words.work = unescaped(value);
    } else if (key == "userxattr") {
      words.user_xattrs = true;
    } else if ((key == "index" || key == "nfs_export" || key == "metacopy")
                   ? value != "off"
                   : key != "redirect_dir" && key != "xino" && key != "volatile" && !item.empty()) {
      return fail(Errno::Inval);
    }
  }
  if (words.lowers.empty() || words.lowers.size() > max_lowers) return fail(Errno::Inval);
  if (words.upper.empty() != words.work.empty()) return fail(Errno::Inval);
  if (words.upper.empty() && words.lowers.size() < 2) return fail(Errno::Inval);
  return words;
}

// Layers are made of files that keep their identity: memory, the host's, other overlays.
Result<Path> layer(Task& task, std::string const& text) {
  auto& vfs = task.kernel().vfs();
  Path at = TRY(vfs.lookup(task, TRY(vfs.start_of(task, AT_FDCWD, text)), text, {.must_be_directory = true}));
  FileSystem& fs = at.dentry->inode()->file_system();
  constexpr std::string_view fit[] = {"tmpfs", "9p", "overlay"};
  if (std::ranges::find(fit, fs.type_name()) == std::end(fit)) return fail(Errno::Inval);
  if (auto* overlay = dynamic_cast<OverlayFileSystem*>(&fs); overlay != nullptr && overlay->depth() >= max_depth)
    return fail(Errno::Inval);
  return at;
}

bool is_below(Path const& inner, Path const& outer) {
  for (kernel::Dentry const* d = inner.dentry.get(); d != nullptr; d = d->parent())
    if (d == outer.dentry.get()) return true;
  return false;
}

Result<void> add_upper(kernel::Kernel& kernel, Task& task, Words const& words, Options& options) {
  Path const upper = TRY(layer(task, words.upper)), work = TRY(layer(task, words.work));
  Ref<Inode> const& root = upper.dentry->inode_ref();
  if (upper.mount->read_only()) return fail(Errno::RoFs);
  if (upper.mount != work.mount || dynamic_cast<OverlayFileSystem*>(&root->file_system()) != nullptr)
    return fail(Errno::Inval);
  {
    ReadLock lock(kernel.vfs().state().dentries.lock());
    if (is_below(upper, work) || is_below(work, upper)) return fail(Errno::Inval);
  }
  // The host gives trusted.* to few.
  constexpr std::string_view probe = "trusted.overlay.probe";
  if (!words.user_xattrs && root->set_xattr(probe, "y", 0))
    TRY(root->remove_xattr(probe));
  else
    options.user_xattrs = true;
  options.upper = root;
  options.upper_place = upper;
  return {};
}

Result<Ref<FileSystem>> mount(kernel::MountRequest const& request) {
  Task* const task = request.task;
  if (task == nullptr) return fail(Errno::NoDev);  // a container's configuration speaks of the host's directories
  Words const words = TRY(parse(request.data));
  Options options{.source = std::string(request.source)};
  options.user_xattrs = words.user_xattrs;
  for (auto const& text : words.lowers) {
    Path at = TRY(layer(*task, text));
    options.lowers.push_back(at.dentry->inode_ref());
    options.lower_places.push_back(std::move(at));
    options.shown += (options.shown.empty() ? "lowerdir=" : ":") + text;
  }
  if (!words.upper.empty()) {
    TRY(add_upper(request.kernel, *task, words, options));
    options.shown += ",upperdir=" + words.upper + ",workdir=" + words.work;
  }
  return create(request.kernel.vfs(), std::move(options));
}

}  // namespace

kernel::FileSystemType file_system_type() {
  return {.name = "overlay", .nodev = true, .user_mountable = true, .create = &mount};
}

}  // namespace cofferdam::fs::overlay
