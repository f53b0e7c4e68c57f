// Our stack as a subject: a library on a virtual clock.
#include <algorithm>
#include <deque>
#include <map>
#include <stdexcept>

#include "netstack/echo_endpoint.h"
#include "netstack/raw_endpoint.h"
#include "netstack/settings.h"
#include "netstack/stack.h"
#include "netstack/tcp_endpoint.h"
#include "netstack/udp_endpoint.h"
#include "sockets.h"
#include "subject.h"

namespace cofferdam::wire {

using namespace netstack;

namespace {

class VirtualClock final : public Environment {
 public:
  Time now() override { return now_; }
  void random(std::span<std::byte> to) override {
    for (auto& b : to) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      b = static_cast<std::byte>(state_ >> 56);
    }
  }
  void wake_at(Time t) override { wake_ = std::min(wake_, t); }
  Time now_ = 1000 * second, wake_ = never;

 private:
  uint64_t state_ = 42;
};

class Wire final : public Link {
 public:
  Wire(VirtualClock& clock, std::deque<Frame>& sent, uint32_t mtu) : clock_(clock), sent_(sent), mtu_(mtu) {}
  LinkFacts facts() const override {
    LinkFacts f;
    f.kind = LinkKind::Ethernet;
    f.mtu = mtu_;
    f.hardware = own_hardware;
    return f;
  }
  void transmit(PacketPtr p) override {
    Frame f;
    f.bytes.resize(p->size());
    p->copy_to(f.bytes);
    f.at = clock_.now();
    sent_.push_back(std::move(f));
  }

 private:
  VirtualClock& clock_;
  std::deque<Frame>& sent_;
  uint32_t mtu_;
};

class Nobody final : public EndpointObserver {
 public:
  void on_events(Events) override {}
};

struct StackHandle {
  Ref<TcpEndpoint> tcp;
  Ref<UdpEndpoint> udp;
  Ref<RawEndpoint> raw;
  Ref<EchoEndpoint> echo;
  uint32_t read_at = 1, written_at = 1;
  bool reuse_address = false;
  std::string last_source;
  SendOptions options;
  DatagramEndpoint* datagrams() const {
    if (udp) return udp.get();
    if (raw) return raw.get();
    return echo.get();
  }
};

std::string errno_word(Errno e) { return std::string(errno_name(e)); }
template <class T>
std::string outcome(Result<T> const& r) {
  return r ? "ok" : errno_word(r.error().code);
}

class StackSubject final : public Subject {
 public:
  explicit StackSubject(Setup const& setup) : v4_(setup.v4), stack_(clock_) {
    interface_ = &stack_.add_interface("eth0", std::make_unique<Wire>(clock_, sent_, setup.mtu));
    if (setup.autoconfigure) stack_.autoconfigure(*interface_);
    if (!setup.addresses) return;
    add_address("10.0.0.1", 24);
    add_address("fd00::1", 64);
    add_address("fe80::1", 64);
    for (bool const four : {true, false}) {
      Route r;
      r.destination = {Address::any(four), 0};
      r.gateway = address_of(four ? "10.0.0.254" : "fd00::fe");
      r.interface = interface_->index();
      static_cast<void>(stack_.routes().add(r));
    }
    wait_until(now() + 3 * second);
    sent_.clear();
    if (setup.neighbours)
      for (char const* who : {"10.0.0.2", "10.0.0.254", "fd00::2", "fd00::fe"})
        stack_.neighbours(*interface_)->learn(address_of(who), peer_hardware, true, true);
  }
  ~StackSubject() override {
    for (auto& [name, h] : handles_) close(h, true);
    wait_until(now() + 200 * second);
  }

  Time now() override { return clock_.now_; }
  Tolerance tolerance() const override { return {2 * millisecond, 2 * millisecond, 0.01}; }
  void wait_until(Time t) override {
    while (clock_.wake_ <= t) step();
    clock_.now_ = std::max(clock_.now_, t);
  }
  void inject(Bytes frame) override {
    auto p = std::make_unique<Packet>();
    p->append(View::copy_of(frame));
    stack_.receive(*interface_, std::move(p));
  }
  std::optional<Frame> next(Time until) override {
    while (sent_.empty() && clock_.wake_ <= until) step();
    if (sent_.empty() || sent_.front().at > until) {
      clock_.now_ = std::max(clock_.now_, until);
      return std::nullopt;
    }
    Frame f = std::move(sent_.front());
    sent_.pop_front();
    return f;
  }
  std::string call(Words const& w) override;

 private:
  void step() {
    Time const at = std::exchange(clock_.wake_, never);
    clock_.now_ = std::max(clock_.now_, at);
    clock_.wake_ = std::min(clock_.wake_, stack_.run_timers());
  }
  void add_address(std::string const& text, uint8_t length) {
    static_cast<void>(stack_.add_address(*interface_, {address_of(text), length}));
  }
  Peer peer_of(Words const& w, size_t i, int port) {
    std::string const address = argument(w, i, default_address(false, v4_));
    Peer p{address_of(address), static_cast<uint16_t>(number_argument(w, i + 1, port)), 0};
    if (p.address.is_link_local() && !p.address.is_v4()) p.scope = interface_->index();
    return p;
  }
  BindRequest request(StackHandle const& h, Words const& w, size_t i) const {
    BindRequest r;
    r.local = i + 1 < w.size() ? address_of(w[i + 1]) : Address::any(v4_);
    r.port = static_cast<uint16_t>(number_argument(w, i, 0));
    r.reuse_address = h.reuse_address;
    return r;
  }
  StackHandle& handle(Words const& w) {
    auto const at = handles_.find(argument(w, 1));
    if (at == handles_.end()) throw std::runtime_error("no socket '" + argument(w, 1) + "'");
    return at->second;
  }
  std::string make_socket(Words const& w);
  std::string server(Words const& w);
  std::string client(Words const& w);
  std::string connect(StackHandle&, Peer const&);
  std::string write(StackHandle&, Words const& w);
  std::string read(StackHandle&, Words const& w);
  std::string read_datagram(StackHandle&, Words const& w);
  std::string send(StackHandle&, Words const& w);
  std::string set(StackHandle&, Words const& w);
  std::string set_tcp(StackHandle&, std::string const& name, std::string const& value);
  std::string get(StackHandle&, Words const& w);
  std::string poll(StackHandle&);
  std::string membership(StackHandle&, Words const& w);
  std::string host_call(Words const& w);
  void close(StackHandle&, bool reset);

  bool const v4_;
  VirtualClock clock_;
  std::deque<Frame> sent_;
  Stack stack_;
  Interface* interface_ = nullptr;
  std::map<std::string, StackHandle> handles_;
};

std::string StackSubject::make_socket(Words const& w) {
  StackHandle h;
  std::string const type = argument(w, 2, "tcp");
  auto observer = make_ref<Nobody>();
  if (type == "tcp") h.tcp = make_ref<TcpEndpoint>(stack_, v4_, observer);
  if (type == "udp") h.udp = make_ref<UdpEndpoint>(stack_, v4_, observer);
  if (type == "ping") h.echo = make_ref<EchoEndpoint>(stack_, v4_, observer);
  if (type == "raw")
    h.raw = make_ref<RawEndpoint>(stack_, v4_, static_cast<uint8_t>(number_argument(w, 3, 255)), observer);
  h.options.path_mtu = PathMtuMode::Want;
  handles_[argument(w, 1)] = std::move(h);
  return "ok";
}

std::string StackSubject::server(Words const& w) {
  make_socket({"socket", w[1], "tcp"});
  StackHandle& h = handle(w);
  h.reuse_address = true;
  BindRequest r;
  r.local = Address::any(v4_);
  r.port = 80;
  r.reuse_address = true;
  if (auto bound = h.tcp->bind(r); !bound) return outcome(bound);
  return outcome(h.tcp->listen(static_cast<size_t>(number_argument(w, 2, 8)), r));
}

std::string StackSubject::connect(StackHandle& h, Peer const& to) {
  if (h.udp) return outcome(h.udp->connect(to, {}));
  if (h.raw) return outcome(h.raw->connect(to));
  if (h.echo) return outcome(h.echo->connect(to, {}));
  if (int const error = h.tcp->take_error(); error != 0) return errno_word(static_cast<Errno>(error));
  auto const r = h.tcp->connect(to, {});
  return r ? "EINPROGRESS" : errno_word(r.error().code);
}

std::string StackSubject::client(Words const& w) {
  make_socket({"socket", w[1], "tcp"});
  std::string const got = connect(handle(w), peer_of(w, 99, number_argument(w, 2, 5000)));
  return got == "EINPROGRESS" ? "ok" : got;
}

std::string StackSubject::write(StackHandle& h, Words const& w) {
  if (!h.tcp) return send(h, w);
  std::string const bytes = content(argument(w, 2), h.written_at);
  if (has_word(w, "oob")) {
    auto const room = h.tcp->send_room();
    if (!room) return errno_word(room.error().code);
    if (*room < bytes.size()) return "EAGAIN";
    auto const sent = h.tcp->send_urgent(std::as_bytes(std::span(bytes)));
    if (!sent) return errno_word(sent.error().code);
    h.written_at += static_cast<uint32_t>(bytes.size());
    return std::to_string(bytes.size());
  }
  bool const more = has_word(w, "more");
  size_t done = 0;
  while (done < bytes.size() || bytes.empty()) {
    auto const room = h.tcp->send_room();
    if (!room) return done != 0 ? std::to_string(done) : errno_word(room.error().code);
    if (*room == 0) break;
    size_t const n = std::min(*room, bytes.size() - done);
    auto const sent =
        h.tcp->send_copy(std::as_bytes(std::span(bytes)).subspan(done, n), more || done + n < bytes.size());
    if (!sent) return errno_word(sent.error().code);
    done += n;
    if (bytes.empty()) break;
  }
  h.written_at += static_cast<uint32_t>(done);
  if (done == 0 && !bytes.empty()) return "EAGAIN";
  return std::to_string(done);
}

std::string StackSubject::send(StackHandle& h, Words const& w) {
  std::string const bytes = content(argument(w, 2), 1);
  Chain c;
  c.append_copy(std::as_bytes(std::span(bytes)));
  std::optional<Peer> to;
  if (argument(w, 3) == "to") to = peer_of(w, 4, 5000);
  SendOptions options = h.options;
  if (to && to->address.is_multicast() && options.ttl == 0) options.ttl = 1;
  BindRequest defaults;
  Result<size_t> const sent = h.udp   ? h.udp->send(std::move(c), to, options, defaults)
                              : h.raw ? h.raw->send(std::move(c), to, options)
                                      : h.echo->send(std::move(c), to, options, defaults);
  return sent ? std::to_string(*sent) : errno_word(sent.error().code);
}

std::string StackSubject::read_datagram(StackHandle& h, Words const& w) {
  auto const got = h.datagrams()->receive(has_word(w, "peek"));
  if (!got) return errno_word(got.error().code);
  std::string bytes(got->payload.size(), 0);
  got->payload.copy_to(std::as_writable_bytes(std::span(bytes)));
  h.last_source = fmt::format("{}:{}", got->source.address.text(), got->source.port);
  return told(bytes, 1, has_word(w, "text"));
}

std::string StackSubject::read(StackHandle& h, Words const& w) {
  if (!h.tcp) return read_datagram(h, w);
  if (has_word(w, "oob")) {
    auto const byte = h.tcp->take_urgent(has_word(w, "peek"));
    if (!byte) return errno_word(byte.error().code);
    if (!*byte) return "eof";
    return told(std::string(1, static_cast<char>(**byte)), 0, has_word(w, "text"));
  }
  size_t const most = w.size() > 2 && std::isdigit(static_cast<unsigned char>(w[2][0]))
                          ? static_cast<size_t>(number_argument(w, 2, 0))
                          : size_t{1} << 24;
  std::string bytes;
  while (bytes.size() < most) {
    if (!bytes.empty() && h.tcp->at_mark()) break;
    auto const got = h.tcp->peek(0, most - bytes.size(), !bytes.empty());
    if (!got && bytes.empty()) return errno_word(got.error().code);
    if (!got || (got->empty() && !bytes.empty())) break;
    if (got->empty()) return "eof";
    std::string part(got->size(), 0);
    got->copy_to(std::as_writable_bytes(std::span(part)));
    h.tcp->consume(part.size());
    bytes += part;
  }
  uint32_t const at = h.read_at;
  h.read_at += static_cast<uint32_t>(bytes.size());
  return told(bytes, at, has_word(w, "text"));
}

void StackSubject::close(StackHandle& h, bool reset) {
  if (h.tcp) h.tcp->close(reset);
  if (h.udp) h.udp->close();
  if (h.raw) h.raw->close();
  if (h.echo) h.echo->close();
}

std::string StackSubject::set_tcp(StackHandle& h, std::string const& name, std::string const& text) {
  Words const words{text};
  int const value = name == "congestion" ? 0 : number_argument(words, 0, 0);
  if (name == "quickack") {
    h.tcp->set_quick_ack(value != 0);
    return "ok";
  }
  if (name == "sndbuf" || name == "rcvbuf") {  // twice what is asked for, as setsockopt(2) does
    auto const size = std::optional<size_t>(static_cast<size_t>(value) * 2);
    h.tcp->set_buffer_sizes(name == "sndbuf" ? size : std::nullopt, name == "rcvbuf" ? size : std::nullopt);
    return "ok";
  }
  if (name == "rcvlowat") {
    h.tcp->receive_low_water = static_cast<size_t>(value);
    return "ok";
  }
  bool known = true;
  h.tcp->change_options([&](TcpOptionsSet& o) {
    if (name == "nodelay")
      o.no_delay = value != 0;
    else if (name == "cork")
      o.cork = value != 0;
    else if (name == "keepalive")
      o.keepalive = value != 0;
    else if (name == "keepidle")
      o.keepalive_idle = value * second;
    else if (name == "keepintvl")
      o.keepalive_interval = value * second;
    else if (name == "keepcnt")
      o.keepalive_probes = static_cast<unsigned>(value);
    else if (name == "user_timeout")
      o.user_timeout = value * millisecond;
    else if (name == "syncnt")
      o.syn_retries = static_cast<unsigned>(value);
    else if (name == "linger2")
      o.fin_wait2 = value < 0 ? -1 : value * second;
    else if (name == "maxseg")
      o.max_segment = static_cast<uint16_t>(value);
    else if (name == "congestion")
      o.cubic = text == "cubic";
    else if (name == "window_clamp")
      o.window_clamp = static_cast<uint32_t>(value);
    else if (name == "notsent_lowat")
      o.not_sent_low_water = static_cast<uint32_t>(value);
    else if (name == "ttl")
      o.ttl = static_cast<uint8_t>(value);
    else if (name == "tos")
      o.tos = static_cast<uint8_t>(value);
    else if (name == "oobinline")
      o.urgent_inline = value != 0;
    else if (name == "defer_accept")
      o.defer_accept = defer_from_seconds(static_cast<unsigned>(value));
    else
      known = false;
  });
  if (!known) throw std::runtime_error("option '" + name + "' is not known for our stack");
  return "ok";
}

std::string StackSubject::set(StackHandle& h, Words const& w) {
  std::string const name = argument(w, 2), text = argument(w, 3);
  if (name == "reuseaddr") {
    h.reuse_address = text != "0";
    return "ok";
  }
  if (h.tcp) return set_tcp(h, name, text);
  Words const words{text};
  int const value = number_argument(words, 0, 0);
  if (name == "ttl")
    h.options.ttl = static_cast<uint8_t>(value);
  else if (name == "tos")
    h.options.tos = static_cast<uint8_t>(value);
  else if (name == "mtu_discover")
    h.options.path_mtu = static_cast<PathMtuMode>(value);
  else if (name == "broadcast")
    h.datagrams()->allow_broadcast = value != 0;
  else if (name == "mcast_loop")
    h.options.loop = value != 0;
  else if (name == "mcast_all")
    h.datagrams()->hears_other_groups = value != 0;
  else if (name == "hdrincl")
    h.raw->header_included = value != 0;
  else if (name == "checksum")
    h.raw->checksum_offset = value;
  else if (name == "rcvbuf")
    h.datagrams()->set_receive_limit(static_cast<size_t>(value) * 2);
  else
    throw std::runtime_error("option '" + name + "' is not known for our stack");
  return "ok";
}

std::string state_name(TcpState s) {
  static constexpr std::string_view names[] = {"?",          "established", "syn-sent",  "syn-received",
                                               "fin-wait-1", "fin-wait-2",  "time-wait", "closed",
                                               "close-wait", "last-ack",    "listen",    "closing"};
  return std::string(names[static_cast<size_t>(s)]);
}

std::string StackSubject::get(StackHandle& h, Words const& w) {
  std::string const name = argument(w, 2);
  if (name == "source") return h.last_source;
  if (name == "mtu") {
    auto const remote = h.tcp ? h.tcp->remote() : h.datagrams()->remote();
    if (!remote) return "ENOTCONN";
    return std::to_string(h.tcp ? h.tcp->info().path_mtu : stack_.find_path(remote->address, Address::any(v4_))->mtu);
  }
  if (!h.tcp) throw std::runtime_error("'" + name + "' cannot be asked for");
  TcpInfo const i = h.tcp->info();
  uint64_t const mss = std::max<uint64_t>(i.send_mss, 1);
  if (name == "cwnd") return std::to_string(i.cwnd_bytes / mss);
  if (name == "ssthresh") return std::to_string(std::min<uint64_t>(i.ssthresh_bytes / mss, 0x7fffffff));
  if (name == "unacked") return std::to_string((i.unacked + mss - 1) / mss);
  if (name == "retransmits") return std::to_string(i.retransmits);
  if (name == "backoff") return std::to_string(i.backoff);
  if (name == "rto_ms") return std::to_string(i.rto / millisecond);
  if (name == "snd_mss") return std::to_string(i.send_mss);
  if (name == "total_retrans") return std::to_string(i.retransmitted);
  if (name == "atmark") return h.tcp->at_mark() ? "1" : "0";
  if (name == "inq") return std::to_string(h.tcp->readable_bytes());
  if (name == "outq") return std::to_string(h.tcp->unacked_bytes());
  static constexpr std::string_view states[] = {"open", "disorder", "cwr", "recovery", "loss"};
  if (name == "ca_state") return std::string(states[static_cast<size_t>(i.congestion)]);
  throw std::runtime_error("'" + name + "' cannot be asked for");
}

std::string StackSubject::poll(StackHandle& h) {
  Events const e = h.tcp ? h.tcp->ready() : h.datagrams()->ready();
  std::string text;
  auto add = [&](Events bit, char const* word) {
    if (e & bit) text += (text.empty() ? "" : "+") + std::string(word);
  };
  add(event_in, "in");
  add(event_urgent, "pri");
  add(event_out, "out");
  add(event_read_hang_up, "rdhup");
  add(event_hang_up, "hup");
  add(event_error, "err");
  return text.empty() ? "nothing" : text;
}

std::string StackSubject::membership(StackHandle& h, Words const& w) {
  Address const group = address_of(argument(w, 2));
  auto& m = h.datagrams()->memberships;
  uint32_t const index = interface_->index();
  if (w.size() > 3) {
    auto const change = w[0] == "join"    ? Memberships::Change::AddSource
                        : w[0] == "leave" ? Memberships::Change::DropSource
                        : w[0] == "block" ? Memberships::Change::BlockSource
                                          : Memberships::Change::UnblockSource;
    return outcome(m.change(group, index, address_of(w[3]), change));
  }
  return outcome(w[0] == "join" ? m.join(group, index) : m.leave(group, index));
}

// Calls about the host and not a socket.
std::string StackSubject::host_call(Words const& w) {
  if (w[0] == "sysctl") {
    std::vector<uint64_t> numbers;
    for (size_t i = 2; i < w.size(); ++i) numbers.push_back(static_cast<uint64_t>(number_argument(w, i, 0)));
    std::string path = argument(w, 1);
    std::ranges::replace(path, '.', '/');
    return outcome(apply_setting(stack_.settings(), path, numbers));
  }
  if (w[0] == "link") {
    stack_.set_up(*interface_, argument(w, 1) == "up");
    return "ok";
  }
  if (w[0] == "address") {
    std::string const text = argument(w, 2);
    size_t const slash = text.find('/');
    Prefix const p{address_of(text.substr(0, slash)), static_cast<uint8_t>(std::stoul(text.substr(slash + 1)))};
    return outcome(argument(w, 1) == "add" ? stack_.add_address(*interface_, p)
                                           : stack_.remove_address(*interface_, p));
  }
  throw std::runtime_error("'" + w[0] + "' is no call");
}

std::string StackSubject::call(Words const& w) {
  std::string const& verb = w.at(0);
  if (verb == "sysctl" || verb == "link" || verb == "address") return host_call(w);
  if (verb == "socket") return make_socket(w);
  if (verb == "server") return server(w);
  if (verb == "client") return client(w);
  StackHandle& h = handle(w);
  if (verb == "bind") {
    BindRequest const r = request(h, w, 2);
    return h.tcp   ? outcome(h.tcp->bind(r))
           : h.udp ? outcome(h.udp->bind(r))
           : h.raw ? outcome(h.raw->bind(r.local))
                   : outcome(h.echo->bind(r));
  }
  if (verb == "listen") return outcome(h.tcp->listen(static_cast<size_t>(number_argument(w, 2, 8)), {}));
  if (verb == "connect") return connect(h, peer_of(w, 2, 5000));
  if (verb == "accept") {
    auto got = h.tcp->accept();
    if (!got) return errno_word(got.error().code);
    (*got)->set_observer(make_ref<Nobody>());
    handles_[argument(w, 2)].tcp = *got;
    return "ok";
  }
  if (verb == "write" || verb == "send") return write(h, w);
  if (verb == "read") return read(h, w);
  if (verb == "close" || verb == "reset") {
    close(h, verb == "reset");
    handles_.erase(w[1]);
    return "ok";
  }
  if (verb == "shutdown") {
    std::string const how = argument(w, 2, "write");
    bool const r = how != "write", x = how != "read";
    if (h.tcp) return outcome(h.tcp->shutdown(r, x));
    h.datagrams()->shutdown(r, x);
    return "ok";
  }
  if (verb == "set") return set(h, w);
  if (verb == "get") return get(h, w);
  if (verb == "poll") return poll(h);
  if (verb == "state") return state_name(h.tcp->state());
  if (verb == "error") {
    int const e = h.tcp ? h.tcp->take_error() : h.datagrams()->take_error();
    return e == 0 ? "none" : errno_word(static_cast<Errno>(e));
  }
  if (verb == "join" || verb == "leave" || verb == "block" || verb == "unblock") return membership(h, w);
  throw std::runtime_error("'" + verb + "' is no call");
}

}  // namespace

std::unique_ptr<Subject> make_stack_subject(Setup const& setup) { return std::make_unique<StackSubject>(setup); }

}  // namespace cofferdam::wire
