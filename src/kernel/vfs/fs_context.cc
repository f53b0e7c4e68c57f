#include "kernel/vfs/mount.h"
#include "kernel/vfs/vfs.h"

namespace cofferdam::kernel {

Ref<FsContext> FsContext::clone() const {
  return state_.with([](State const& s) { return make_ref<FsContext>(s.root, s.cwd, s.umask); });
}

Path FsContext::root() const {
  return state_.with([](State const& s) { return s.root; });
}

Path FsContext::cwd() const {
  return state_.with([](State const& s) { return s.cwd; });
}

mode_t FsContext::umask() const {
  return state_.with([](State const& s) { return s.umask; });
}

void FsContext::set_root(Path p) {
  state_.with([&](State& s) { std::swap(s.root, p); });
}

void FsContext::set_cwd(Path p) {
  state_.with([&](State& s) { std::swap(s.cwd, p); });
}

void FsContext::move(Path const& from, Path const& to) {
  Path dropped[2];  // let go without the lock
  state_.with([&](State& s) {
    if (s.root == from) dropped[0] = std::exchange(s.root, to);
    if (s.cwd == from) dropped[1] = std::exchange(s.cwd, to);
  });
}

mode_t FsContext::exchange_umask(mode_t m) {
  return state_.with([&](State& s) { return std::exchange(s.umask, m & 0777); });
}

}  // namespace cofferdam::kernel
