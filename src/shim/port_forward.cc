#include "shim/port_forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include <fmt/format.h>

namespace cofferdam::shim {

namespace {

constexpr size_t program_log_bytes = 4096;

int bpf(int command, bpf_attr& attributes) {
  return static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

constexpr bpf_insn instruction(int code, int to, int from, int offset, int value) {
  return {.code = static_cast<uint8_t>(code),
          .dst_reg = static_cast<uint8_t>(to & 0xf),
          .src_reg = static_cast<uint8_t>(from & 0xf),
          .off = static_cast<int16_t>(offset),
          .imm = value};
}
constexpr bpf_insn load_word(int to, int from, size_t offset) {
  return instruction(BPF_LDX | BPF_MEM | BPF_W, to, from, static_cast<int>(offset), 0);
}
constexpr bpf_insn copy(int to, int from) { return instruction(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0); }
constexpr bpf_insn set(int to, int value) { return instruction(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value); }
// NOLINTNEXTLINE(misc-redundant-expression): both BPF_ADD and BPF_K are 0
constexpr bpf_insn add(int to, int value) { return instruction(BPF_ALU64 | BPF_ADD | BPF_K, to, 0, 0, value); }
// The first of the two instructions of a 64-bit load; one of zeros follows.
constexpr bpf_insn load_map(int to, int map) {
  // NOLINTNEXTLINE(misc-redundant-expression): both BPF_LD and BPF_IMM are 0
  return instruction(BPF_LD | BPF_DW | BPF_IMM, to, BPF_PSEUDO_MAP_FD, 0, map);
}
constexpr bpf_insn call(int function) { return instruction(BPF_JMP | BPF_CALL, 0, 0, 0, function); }
// Jumps over `skip` instructions unless the register has the value.
constexpr bpf_insn skip_unless(int reg, int value, int skip) {
  return instruction(BPF_JMP | BPF_JNE | BPF_K, reg, 0, skip, value);
}

// A TCP connection to 127.0.0.0/8: its listener is the one of the map. Everything else goes its way.
Outcome<host::OwnedFd> load_program(int map) {
  bpf_insn const program[] = {
      copy(6, 1),
      load_word(2, 6, offsetof(bpf_sk_lookup, family)),
      skip_unless(2, AF_INET, 20),
      load_word(2, 6, offsetof(bpf_sk_lookup, protocol)),
      skip_unless(2, IPPROTO_TCP, 18),
      load_word(2, 6, offsetof(bpf_sk_lookup, local_ip4)),
      instruction(BPF_ALU64 | BPF_AND | BPF_K, 2, 0, 0, 0xff),  // the first byte: the word is in network order
      skip_unless(2, IN_LOOPBACKNET, 15),
      instruction(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 0),  // the key
      copy(2, 10),
      add(2, -4),
      load_map(1, map),
      instruction(0, 0, 0, 0, 0),
      call(BPF_FUNC_map_lookup_elem),
      instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 8, 0),
      copy(7, 0),
      copy(1, 6),
      copy(2, 7),
      set(3, 0),
      call(BPF_FUNC_sk_assign),
      copy(1, 7),
      call(BPF_FUNC_sk_release),
      set(0, SK_PASS),
      set(0, SK_PASS),
      instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  char license[] = "Dual MIT/GPL", log[program_log_bytes] = {};
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_SK_LOOKUP;
  attributes.expected_attach_type = BPF_SK_LOOKUP;
  attributes.insns = reinterpret_cast<uint64_t>(program);
  attributes.insn_cnt = std::size(program);
  attributes.license = reinterpret_cast<uint64_t>(license);
  attributes.log_buf = reinterpret_cast<uint64_t>(log);
  attributes.log_size = sizeof log;
  attributes.log_level = 1;
  host::OwnedFd fd(bpf(BPF_PROG_LOAD, attributes));
  if (!fd) return refuse(fmt::format("cannot load a program for socket lookup: {} {}", strerror(errno), log));
  return fd;
}

// Made by a thread of its own that has moved into the namespace: a socket stays where it was made.
host::OwnedFd listen_in(int network) {
  host::OwnedFd made;
  std::thread([&] {
    if (::setns(network, CLONE_NEWNET) != 0) return;
    host::OwnedFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address{.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    if (fd && ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
        ::listen(fd.get(), 16) == 0)
      made = std::move(fd);
  }).join();
  return made;
}

}  // namespace

Outcome<> PortForward::steer(int network) {
  bpf_attr map{};
  map.map_type = BPF_MAP_TYPE_SOCKMAP;
  map.key_size = sizeof(uint32_t);
  map.value_size = sizeof(uint64_t);
  map.max_entries = 1;
  map_ = host::OwnedFd(bpf(BPF_MAP_CREATE, map));
  if (!map_) return refuse(fmt::format("cannot make a map of sockets: {}", strerror(errno)));
  uint32_t key = 0;
  auto listener = static_cast<uint64_t>(listener_.get());
  bpf_attr element{};
  element.map_fd = static_cast<uint32_t>(map_.get());
  element.key = reinterpret_cast<uint64_t>(&key);
  element.value = reinterpret_cast<uint64_t>(&listener);
  if (bpf(BPF_MAP_UPDATE_ELEM, element) != 0)
    return refuse(fmt::format("cannot put a listener into a map of sockets: {}", strerror(errno)));
  program_ = ATTEMPT(load_program(map_.get()));
  bpf_attr link{};
  link.link_create.prog_fd = static_cast<uint32_t>(program_.get());
  link.link_create.target_fd = static_cast<uint32_t>(network);
  link.link_create.attach_type = BPF_SK_LOOKUP;
  link_ = host::OwnedFd(bpf(BPF_LINK_CREATE, link));
  if (!link_) return refuse(fmt::format("cannot attach to the lookup of sockets: {}", strerror(errno)));
  return {};
}

Outcome<std::unique_ptr<PortForward>> PortForward::start(EventLoop& loop, std::string const& network,
                                                         OnConnection on_connection) {
  host::OwnedFd const space(::open(network.c_str(), O_RDONLY | O_CLOEXEC));
  if (!space) return refuse(fmt::format("cannot open {}: {}", network, strerror(errno)));
  std::unique_ptr<PortForward> self(new PortForward(loop));
  self->listener_ = listen_in(space.get());
  if (!self->listener_) return refuse(fmt::format("cannot listen in {}", network));
  ATTEMPT(self->steer(space.get()));
  self->on_connection_ = std::move(on_connection);
  auto* forward = self.get();
  loop.watch(self->listener_.get(), EPOLLIN, [forward](uint32_t) {
    host::OwnedFd connection(::accept4(forward->listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    sockaddr_in to{};
    socklen_t size = sizeof to;
    if (connection && ::getsockname(connection.get(), reinterpret_cast<sockaddr*>(&to), &size) == 0)
      forward->on_connection_(std::move(connection), ntohs(to.sin_port));
  });
  return self;
}

PortForward::~PortForward() {
  if (listener_) loop_.forget(listener_.get());
}

}  // namespace cofferdam::shim
