// Linux as a subject: a network namespace of its own with one tap device, and the host's real clock.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <fstream>
#include <map>
#include <stdexcept>

#include "base/result.h"
#include "host/fd.h"
#include "sockets.h"
#include "subject.h"

namespace cofferdam::wire {

using netstack::millisecond;
using netstack::second;

namespace {

constexpr char tap_name[] = "wire0";

[[noreturn]] void give_up(std::string const& what) { throw std::runtime_error(what + ": " + strerror(errno)); }

std::string errno_result(long r) { return r >= 0 ? "ok" : std::string(errno_name(static_cast<Errno>(errno))); }
std::string errno_count(long r) {
  return r >= 0 ? std::to_string(r) : std::string(errno_name(static_cast<Errno>(errno)));
}

Time clock_of(clockid_t id) {
  timespec t;
  ::clock_gettime(id, &t);
  return t.tv_sec * second + t.tv_nsec;
}

void write_file(std::string const& path, std::string const& text) {
  host::OwnedFd const fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || ::write(fd.get(), text.data(), text.size()) < 0) give_up(path);
}

// IPv6 addresses become usable on a thread of the kernel's own, which has much to do where namespaces come and go.
bool ipv6_is_ready() {
  std::ifstream in("/proc/self/net/ipv6_route");
  unsigned ready = 0;
  for (std::string line; std::getline(in, line);)
    for (char const* own : {"fd000000000000000000000000000001 80", "fe800000000000000000000000000001 80"})
      if (line.starts_with(own)) ++ready;
  return ready == 2;
}

struct LinuxHandle {
  host::OwnedFd fd;
  int type = SOCK_STREAM;
  uint32_t read_at = 1, written_at = 1;
  std::string last_source;
};

class LinuxSubject final : public Subject {
 public:
  explicit LinuxSubject(Setup const& setup) : v4_(setup.v4) {
    if (::unshare(CLONE_NEWNET) != 0) give_up("unshare");
    open_tap(setup);
    configure(setup);
    open_watcher();
    realtime_ahead_ = clock_of(CLOCK_REALTIME) - clock_of(CLOCK_MONOTONIC);
    sched_param const first{.sched_priority = 1};
    (void)::sched_setscheduler(0, SCHED_RR, &first);  // where that is allowed
  }

  Time now() override { return clock_of(CLOCK_MONOTONIC); }
  Tolerance tolerance() const override { return {15 * millisecond, 40 * millisecond, 0.15}; }
  void wait_until(Time t) override {
    while (now() < t) collect(t);
  }
  void inject(Bytes frame) override {
    collect(0);
    if (::write(tap_.get(), frame.data(), frame.size()) < 0) give_up("write to the tap device");
  }
  std::optional<Frame> next(Time until) override {
    // What was sent before `until` may be told of a little later.
    Time const patience = until + 20 * millisecond;
    collect(0);
    while (sent_.empty() && now() < patience) collect(patience);
    if (sent_.empty() || sent_.front().at > until) return std::nullopt;
    Frame f = std::move(sent_.front());
    sent_.pop_front();
    return f;
  }
  std::string call(Words const& w) override;

 private:
  void open_tap(Setup const&);
  void configure(Setup const&);
  void open_watcher();
  void collect(Time until);
  void take_frame();
  LinuxHandle& handle(Words const& w) {
    auto const at = handles_.find(argument(w, 1));
    if (at == handles_.end()) throw std::runtime_error("no socket '" + argument(w, 1) + "'");
    return at->second;
  }
  struct Name {
    sockaddr_storage storage{};
    socklen_t length = 0;
    sockaddr const* get() const { return reinterpret_cast<sockaddr const*>(&storage); }
  };
  Name name_of(std::string const& address, int port) const;
  std::string make_socket(Words const& w);
  std::string server(Words const& w);
  std::string write(LinuxHandle&, Words const& w);
  std::string read(LinuxHandle&, Words const& w);
  std::string set(LinuxHandle&, Words const& w);
  std::string get(LinuxHandle&, Words const& w);
  std::string poll(LinuxHandle&);
  std::string membership(LinuxHandle&, Words const& w);
  std::string host_call(Words const& w);
  std::string run_ip(std::string const& command);

  bool const v4_;
  host::OwnedFd tap_, watcher_;
  int index_ = 0;
  Time realtime_ahead_ = 0;
  std::deque<Frame> sent_;
  std::map<std::string, LinuxHandle> handles_;
};

void LinuxSubject::open_tap(Setup const& setup) {
  tap_ = host::OwnedFd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  ifreq r{};
  r.ifr_flags = IFF_TAP | IFF_NO_PI;
  strcpy(r.ifr_name, tap_name);
  if (!tap_ || ::ioctl(tap_.get(), TUNSETIFF, &r) != 0) give_up("/dev/net/tun");
  host::OwnedFd const any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  r.ifr_hwaddr.sa_family = 1;  // ARPHRD_ETHER
  memcpy(r.ifr_hwaddr.sa_data, own_hardware.data(), own_hardware.size());
  if (::ioctl(any.get(), SIOCSIFHWADDR, &r) != 0) give_up("hardware address");
  r.ifr_mtu = static_cast<int>(setup.mtu);
  if (::ioctl(any.get(), SIOCSIFMTU, &r) != 0) give_up("mtu");
  index_ = static_cast<int>(::if_nametoindex(tap_name));
}

// What iproute2 is told, on its standard input.
std::string LinuxSubject::run_ip(std::string const& commands) {
  FILE* pipe = ::popen("ip -batch - 2>&1 >/dev/null", "we");
  if (!pipe) give_up("ip");
  fputs(commands.c_str(), pipe);
  return ::pclose(pipe) == 0 ? "ok" : "failed";
}

void LinuxSubject::configure(Setup const& setup) {
  std::string const conf = std::string("/proc/sys/net/ipv6/conf/") + tap_name;
  write_file(conf + "/addr_gen_mode", "1");  // no address of the kernel's own choice
  write_file(conf + "/accept_dad", setup.autoconfigure ? "1" : "0");
  write_file(conf + "/router_solicitations", setup.autoconfigure ? "-1" : "0");
  // What differs from machine to machine.
  write_file("/proc/sys/net/ipv4/tcp_rmem", "4096 131072 6291456");
  write_file("/proc/sys/net/ipv4/tcp_wmem", "4096 16384 4194304");
  write_file("/proc/sys/net/ipv4/tcp_ecn", "2");
  write_file("/proc/sys/net/ipv4/ip_forward", "0");
  write_file("/proc/sys/net/ipv6/conf/all/forwarding", "0");
  std::string const failure = "ip could not set the interface up";
  if (run_ip(fmt::format("link set lo up\nlink set {} up\n", tap_name)) != "ok") throw std::runtime_error(failure);
  host::OwnedFd const any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq r{};
  strcpy(r.ifr_name, tap_name);
  for (int n = 0; n < 2000 && !(::ioctl(any.get(), SIOCGIFFLAGS, &r) == 0 && (r.ifr_flags & IFF_RUNNING)); ++n)
    ::usleep(1000);
  std::string commands;
  if (setup.addresses)
    commands += fmt::format(
        "addr add 10.0.0.1/24 broadcast 10.0.0.255 dev {0}\naddr add fd00::1/64 dev {0} nodad\n"
        "addr add fe80::1/64 dev {0} nodad\nroute add default via 10.0.0.254\nroute add ::/0 via fd00::fe\n",
        tap_name);
  if (setup.neighbours)
    for (char const* who : {"10.0.0.2", "10.0.0.254", "fd00::2", "fd00::fe"})
      commands += fmt::format("neigh replace {} lladdr 02:00:00:00:00:02 dev {} nud permanent\n", who, tap_name);
  if (!commands.empty() && run_ip(commands) != "ok") throw std::runtime_error(failure);
  for (int n = 0; n < 20000 && setup.addresses && !ipv6_is_ready(); ++n) ::usleep(1000);
}

// Sees what leaves with the kernel's own time, so that a late reader does not make it late.
void LinuxSubject::open_watcher() {
  watcher_ = host::OwnedFd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  int const on = 1, bytes = 8 << 20;
  sockaddr_ll place{};
  place.sll_family = AF_PACKET;
  place.sll_protocol = htons(ETH_P_ALL);
  place.sll_ifindex = index_;
  if (!watcher_ || ::setsockopt(watcher_.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0 ||
      ::bind(watcher_.get(), reinterpret_cast<sockaddr*>(&place), sizeof place) != 0)
    give_up("packet socket");
  (void)::setsockopt(watcher_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
}

void LinuxSubject::take_frame() {
  std::vector<std::byte> bytes(70000);
  iovec part{bytes.data(), bytes.size()};
  alignas(cmsghdr) char control[256];
  sockaddr_ll from{};
  msghdr m{};
  m.msg_name = &from;
  m.msg_namelen = sizeof from;
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  ssize_t const n = ::recvmsg(watcher_.get(), &m, MSG_DONTWAIT);
  if (n < 0 || from.sll_pkttype != PACKET_OUTGOING) return;
  bytes.resize(static_cast<size_t>(n));
  Frame f{std::move(bytes), now()};
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
      timespec t;
      memcpy(&t, CMSG_DATA(c), sizeof t);
      f.at = t.tv_sec * second + t.tv_nsec - realtime_ahead_;
    }
  sent_.push_back(std::move(f));
}

// Takes what is there; waits until something is or the time has come (0: does not wait).
void LinuxSubject::collect(Time until) {
  Time const left = until == 0 ? 0 : std::max<Time>(until - now(), 0);
  timespec const wait{left / second, left % second};
  pollfd fds[] = {{watcher_.get(), POLLIN, 0}, {tap_.get(), POLLIN, 0}};
  (void)::ppoll(fds, 2, &wait, nullptr);
  char thrown_away[70000];
  while (::read(tap_.get(), thrown_away, sizeof thrown_away) > 0) continue;
  for (pollfd again{watcher_.get(), POLLIN, 0}; ::poll(&again, 1, 0) > 0;) take_frame();
}

// --- calls ---

LinuxSubject::Name LinuxSubject::name_of(std::string const& text, int port) const {
  Name n;
  Address const a = address_of(text);
  if (a.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(static_cast<uint16_t>(port));
    in.sin_addr.s_addr = htonl(a.v4());
    memcpy(&n.storage, &in, sizeof in);
    n.length = sizeof in;
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(static_cast<uint16_t>(port));
    memcpy(&in.sin6_addr, a.bytes().data(), 16);
    if (a.is_link_local()) in.sin6_scope_id = static_cast<uint32_t>(index_);
    memcpy(&n.storage, &in, sizeof in);
    n.length = sizeof in;
  }
  return n;
}

std::string LinuxSubject::make_socket(Words const& w) {
  std::string const kind = argument(w, 2, "tcp");
  LinuxHandle h;
  int protocol = 0;
  if (kind == "udp") h.type = SOCK_DGRAM;
  if (kind == "ping") {
    h.type = SOCK_DGRAM;
    protocol = v4_ ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6};
    write_file("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
  }
  if (kind == "raw") {
    h.type = SOCK_RAW;
    protocol = number_argument(w, 3, 255);
  }
  h.fd = host::OwnedFd(::socket(v4_ ? AF_INET : AF_INET6, h.type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (!h.fd) return errno_result(-1);
  // The machine's default may be another; only the administrator of a namespace may choose, and only for a socket.
  if (kind == "tcp") (void)::setsockopt(h.fd.get(), IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
  handles_[argument(w, 1)] = std::move(h);
  return "ok";
}

std::string LinuxSubject::server(Words const& w) {
  make_socket({"socket", w[1], "tcp"});
  int const fd = handle(w).fd.get(), on = 1;
  (void)::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  Name const any = name_of(v4_ ? "0.0.0.0" : "::", 80);
  if (::bind(fd, any.get(), any.length) != 0) return errno_result(-1);
  return errno_result(::listen(fd, number_argument(w, 2, 8)));
}

std::string LinuxSubject::write(LinuxHandle& h, Words const& w) {
  std::string const bytes = content(argument(w, 2), h.type == SOCK_STREAM ? h.written_at : 1);
  int flags = MSG_NOSIGNAL;
  if (has_word(w, "more")) flags |= MSG_MORE;
  if (has_word(w, "oob")) flags |= MSG_OOB;
  if (has_word(w, "fastopen")) flags |= MSG_FASTOPEN;
  Name to;
  if (argument(w, 3) == "to") to = name_of(argument(w, 4, default_address(false, v4_)), number_argument(w, 5, 5000));
  if (flags & MSG_FASTOPEN) to = name_of(default_address(false, v4_), 5000);
  ssize_t const n =
      ::sendto(h.fd.get(), bytes.data(), bytes.size(), flags, to.length != 0 ? to.get() : nullptr, to.length);
  if (n > 0) h.written_at += static_cast<uint32_t>(n);
  return errno_count(n);
}

std::string LinuxSubject::read(LinuxHandle& h, Words const& w) {
  size_t const most = w.size() > 2 && std::isdigit(static_cast<unsigned char>(w[2][0]))
                          ? static_cast<size_t>(number_argument(w, 2, 0))
                          : size_t{1} << 24;
  std::string bytes(most, 0);
  int flags = 0;
  if (has_word(w, "peek")) flags |= MSG_PEEK;
  if (has_word(w, "oob")) flags |= MSG_OOB;
  Name from;
  from.length = sizeof from.storage;
  ssize_t const n = ::recvfrom(h.fd.get(), bytes.data(), bytes.size(), flags,
                               reinterpret_cast<sockaddr*>(&from.storage), &from.length);
  if (n < 0) return errno_count(n);
  if (n == 0 && h.type == SOCK_STREAM) return "eof";
  bytes.resize(static_cast<size_t>(n));
  uint32_t const at = h.type == SOCK_STREAM ? h.read_at : 1;
  if (!(flags & (MSG_PEEK | MSG_OOB))) h.read_at += static_cast<uint32_t>(n);
  if (h.type != SOCK_STREAM && from.length >= sizeof(sockaddr_in)) {
    char text[INET6_ADDRSTRLEN];
    auto const* four = reinterpret_cast<sockaddr_in const*>(&from.storage);
    auto const* six = reinterpret_cast<sockaddr_in6 const*>(&from.storage);
    bool const v4 = from.storage.ss_family == AF_INET;
    ::inet_ntop(from.storage.ss_family, v4 ? static_cast<void const*>(&four->sin_addr) : &six->sin6_addr, text,
                sizeof text);
    h.last_source = fmt::format("{}:{}", text, ntohs(v4 ? four->sin_port : six->sin6_port));
  }
  return told(bytes, at, has_word(w, "text"));
}

struct IntOption {
  std::string_view name;
  int level, v4, v6_level, v6;
};
constexpr IntOption int_options[] = {
    {"nodelay", IPPROTO_TCP, TCP_NODELAY, IPPROTO_TCP, TCP_NODELAY},
    {"cork", IPPROTO_TCP, TCP_CORK, IPPROTO_TCP, TCP_CORK},
    {"quickack", IPPROTO_TCP, TCP_QUICKACK, IPPROTO_TCP, TCP_QUICKACK},
    {"keepidle", IPPROTO_TCP, TCP_KEEPIDLE, IPPROTO_TCP, TCP_KEEPIDLE},
    {"keepintvl", IPPROTO_TCP, TCP_KEEPINTVL, IPPROTO_TCP, TCP_KEEPINTVL},
    {"keepcnt", IPPROTO_TCP, TCP_KEEPCNT, IPPROTO_TCP, TCP_KEEPCNT},
    {"user_timeout", IPPROTO_TCP, TCP_USER_TIMEOUT, IPPROTO_TCP, TCP_USER_TIMEOUT},
    {"syncnt", IPPROTO_TCP, TCP_SYNCNT, IPPROTO_TCP, TCP_SYNCNT},
    {"linger2", IPPROTO_TCP, TCP_LINGER2, IPPROTO_TCP, TCP_LINGER2},
    {"maxseg", IPPROTO_TCP, TCP_MAXSEG, IPPROTO_TCP, TCP_MAXSEG},
    {"window_clamp", IPPROTO_TCP, TCP_WINDOW_CLAMP, IPPROTO_TCP, TCP_WINDOW_CLAMP},
    {"notsent_lowat", IPPROTO_TCP, TCP_NOTSENT_LOWAT, IPPROTO_TCP, TCP_NOTSENT_LOWAT},
    {"defer_accept", IPPROTO_TCP, TCP_DEFER_ACCEPT, IPPROTO_TCP, TCP_DEFER_ACCEPT},
    {"fastopen", IPPROTO_TCP, TCP_FASTOPEN, IPPROTO_TCP, TCP_FASTOPEN},
    {"fastopen_connect", IPPROTO_TCP, TCP_FASTOPEN_CONNECT, IPPROTO_TCP, TCP_FASTOPEN_CONNECT},
    {"keepalive", SOL_SOCKET, SO_KEEPALIVE, SOL_SOCKET, SO_KEEPALIVE},
    {"reuseaddr", SOL_SOCKET, SO_REUSEADDR, SOL_SOCKET, SO_REUSEADDR},
    {"sndbuf", SOL_SOCKET, SO_SNDBUF, SOL_SOCKET, SO_SNDBUF},
    {"rcvbuf", SOL_SOCKET, SO_RCVBUF, SOL_SOCKET, SO_RCVBUF},
    {"rcvlowat", SOL_SOCKET, SO_RCVLOWAT, SOL_SOCKET, SO_RCVLOWAT},
    {"broadcast", SOL_SOCKET, SO_BROADCAST, SOL_SOCKET, SO_BROADCAST},
    {"oobinline", SOL_SOCKET, SO_OOBINLINE, SOL_SOCKET, SO_OOBINLINE},
    {"ttl", IPPROTO_IP, IP_TTL, IPPROTO_IPV6, IPV6_UNICAST_HOPS},
    {"tos", IPPROTO_IP, IP_TOS, IPPROTO_IPV6, IPV6_TCLASS},
    {"mtu", IPPROTO_IP, IP_MTU, IPPROTO_IPV6, IPV6_MTU},
    {"mtu_discover", IPPROTO_IP, IP_MTU_DISCOVER, IPPROTO_IPV6, IPV6_MTU_DISCOVER},
    {"mcast_loop", IPPROTO_IP, IP_MULTICAST_LOOP, IPPROTO_IPV6, IPV6_MULTICAST_LOOP},
    {"mcast_ttl", IPPROTO_IP, IP_MULTICAST_TTL, IPPROTO_IPV6, IPV6_MULTICAST_HOPS},
    {"mcast_all", IPPROTO_IP, IP_MULTICAST_ALL, IPPROTO_IPV6, IPV6_MULTICAST_ALL},
    {"hdrincl", IPPROTO_IP, IP_HDRINCL, IPPROTO_IPV6, IPV6_HDRINCL},
    {"checksum", IPPROTO_IPV6, IPV6_CHECKSUM, IPPROTO_IPV6, IPV6_CHECKSUM},
    {"snd_mss", IPPROTO_TCP, TCP_MAXSEG, IPPROTO_TCP, TCP_MAXSEG},
};

std::string LinuxSubject::set(LinuxHandle& h, Words const& w) {
  std::string const name = argument(w, 2);
  if (name == "congestion") {
    std::string const algorithm = argument(w, 3);
    return errno_result(::setsockopt(h.fd.get(), IPPROTO_TCP, TCP_CONGESTION, algorithm.data(),
                                     static_cast<socklen_t>(algorithm.size())));
  }
  auto const* o = std::ranges::find(int_options, name, &IntOption::name);
  if (o == std::end(int_options)) throw std::runtime_error("option '" + name + "' is not known");
  int const value = number_argument(w, 3, 0);
  return errno_result(
      ::setsockopt(h.fd.get(), v4_ ? o->level : o->v6_level, v4_ ? o->v4 : o->v6, &value, sizeof value));
}

std::string LinuxSubject::get(LinuxHandle& h, Words const& w) {
  std::string const name = argument(w, 2);
  if (name == "source") return h.last_source;
  int value = 0;
  if (name == "inq" || name == "outq" || name == "atmark") {
    unsigned long const request = name == "inq" ? SIOCINQ : name == "outq" ? SIOCOUTQ : SIOCATMARK;
    int const r = ::ioctl(h.fd.get(), request, &value);
    return r == 0 ? std::to_string(value) : errno_result(r);
  }
  socklen_t length = sizeof value;
  auto const* o = std::ranges::find(int_options, name, &IntOption::name);
  if (o != std::end(int_options)) {
    int const r = ::getsockopt(h.fd.get(), v4_ ? o->level : o->v6_level, v4_ ? o->v4 : o->v6, &value, &length);
    return r == 0 ? std::to_string(value) : errno_result(r);
  }
  tcp_info i{};
  length = sizeof i;
  if (::getsockopt(h.fd.get(), IPPROTO_TCP, TCP_INFO, &i, &length) != 0) return errno_result(-1);
  if (name == "cwnd") return std::to_string(i.tcpi_snd_cwnd);
  if (name == "ssthresh") return std::to_string(i.tcpi_snd_ssthresh);
  if (name == "unacked") return std::to_string(i.tcpi_unacked);
  if (name == "retransmits") return std::to_string(i.tcpi_retransmits);
  if (name == "backoff") return std::to_string(i.tcpi_backoff);
  if (name == "rto_ms") return std::to_string(i.tcpi_rto / 1000);
  if (name == "total_retrans") return std::to_string(i.tcpi_total_retrans);
  static constexpr std::string_view states[] = {"open", "disorder", "cwr", "recovery", "loss"};
  if (name == "ca_state") return std::string(states[i.tcpi_ca_state]);
  throw std::runtime_error("'" + name + "' cannot be asked for");
}

std::string LinuxSubject::poll(LinuxHandle& h) {
  pollfd p{h.fd.get(), POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0};
  (void)::poll(&p, 1, 0);
  std::string text;
  auto add = [&](int bit, char const* word) {
    if (p.revents & bit) text += (text.empty() ? "" : "+") + std::string(word);
  };
  add(POLLIN, "in");
  add(POLLPRI, "pri");
  add(POLLOUT, "out");
  add(POLLRDHUP, "rdhup");
  add(POLLHUP, "hup");
  add(POLLERR, "err");
  return text.empty() ? "nothing" : text;
}

std::string LinuxSubject::membership(LinuxHandle& h, Words const& w) {
  int const level = v4_ ? int{IPPROTO_IP} : int{IPPROTO_IPV6};
  auto put = [](sockaddr_storage& to, Name const& n) { memcpy(&to, &n.storage, n.length); };
  if (w.size() > 3) {
    group_source_req r{};
    r.gsr_interface = static_cast<uint32_t>(index_);
    put(r.gsr_group, name_of(argument(w, 2), 0));
    put(r.gsr_source, name_of(w[3], 0));
    int const option = w[0] == "join"    ? MCAST_JOIN_SOURCE_GROUP
                       : w[0] == "leave" ? MCAST_LEAVE_SOURCE_GROUP
                       : w[0] == "block" ? MCAST_BLOCK_SOURCE
                                         : MCAST_UNBLOCK_SOURCE;
    return errno_result(::setsockopt(h.fd.get(), level, option, &r, sizeof r));
  }
  group_req r{};
  r.gr_interface = static_cast<uint32_t>(index_);
  put(r.gr_group, name_of(argument(w, 2), 0));
  return errno_result(
      ::setsockopt(h.fd.get(), level, w[0] == "join" ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP, &r, sizeof r));
}

std::string LinuxSubject::host_call(Words const& w) {
  if (w[0] == "sysctl") {
    std::string path = argument(w, 1), text;
    std::ranges::replace(path, '.', '/');
    for (size_t i = 2; i < w.size(); ++i) text += (i == 2 ? "" : " ") + w[i];
    write_file("/proc/sys/" + path, text);
    return "ok";
  }
  if (w[0] == "link") return run_ip(fmt::format("link set {} {}\n", tap_name, argument(w, 1)));
  if (w[0] == "address") return run_ip(fmt::format("addr {} {} dev {}\n", argument(w, 1), argument(w, 2), tap_name));
  throw std::runtime_error("'" + w[0] + "' is no call");
}

std::string LinuxSubject::call(Words const& w) {
  std::string const& verb = w.at(0);
  if (verb == "sysctl" || verb == "link" || verb == "address") return host_call(w);
  if (verb == "socket") return make_socket(w);
  if (verb == "server") return server(w);
  if (verb == "client") {
    make_socket({"socket", w.at(1), "tcp"});
    Name const to = name_of(default_address(false, v4_), number_argument(w, 2, 5000));
    int const r = ::connect(handle(w).fd.get(), to.get(), to.length);
    return r != 0 && errno == EINPROGRESS ? "ok" : errno_result(r);
  }
  LinuxHandle& h = handle(w);
  int const fd = h.fd.get();
  if (verb == "bind") {
    Name const n = name_of(argument(w, 3, v4_ ? "0.0.0.0" : "::"), number_argument(w, 2, 0));
    return errno_result(::bind(fd, n.get(), n.length));
  }
  if (verb == "listen") return errno_result(::listen(fd, number_argument(w, 2, 8)));
  if (verb == "connect") {
    Name const to = name_of(argument(w, 2, default_address(false, v4_)), number_argument(w, 3, 5000));
    return errno_result(::connect(fd, to.get(), to.length));
  }
  if (verb == "accept") {
    LinuxHandle child;
    child.fd = host::OwnedFd(::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!child.fd) return errno_result(-1);
    handles_[argument(w, 2)] = std::move(child);
    return "ok";
  }
  if (verb == "write" || verb == "send") return write(h, w);
  if (verb == "read") return read(h, w);
  if (verb == "close" || verb == "reset") {
    linger const none{1, 0};
    if (verb == "reset") (void)::setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    handles_.erase(w[1]);
    return "ok";
  }
  if (verb == "shutdown") {
    std::string const how = argument(w, 2, "write");
    return errno_result(::shutdown(fd, how == "write" ? SHUT_WR : how == "read" ? SHUT_RD : SHUT_RDWR));
  }
  if (verb == "set") return set(h, w);
  if (verb == "get") return get(h, w);
  if (verb == "poll") return poll(h);
  if (verb == "state") {
    static constexpr std::string_view names[] = {"?",          "established", "syn-sent",  "syn-received",
                                                 "fin-wait-1", "fin-wait-2",  "time-wait", "closed",
                                                 "close-wait", "last-ack",    "listen",    "closing"};
    tcp_info i{};
    socklen_t length = sizeof i;
    if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &length) != 0) return errno_result(-1);
    return std::string(names[i.tcpi_state]);
  }
  if (verb == "error") {
    int value = 0;
    socklen_t length = sizeof value;
    (void)::getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &length);
    return value == 0 ? "none" : std::string(errno_name(static_cast<Errno>(value)));
  }
  if (verb == "join" || verb == "leave" || verb == "block" || verb == "unblock") return membership(h, w);
  throw std::runtime_error("'" + verb + "' is no call");
}

}  // namespace

std::unique_ptr<Subject> make_linux_subject(Setup const& setup) { return std::make_unique<LinuxSubject>(setup); }

}  // namespace cofferdam::wire
