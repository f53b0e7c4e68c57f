// TCP (RFC 9293): one endpoint per socket. Window scale, timestamps and PAWS (RFC 7323), SACK (RFC 2018, 2883, 6675's
// idea of the pipe), RACK-TLP (RFC 8985), PRR (RFC 6937), NewReno (RFC 5681, 6582), CUBIC (RFC 9438), blind-attack
// defences (RFC 5961), user timeout (RFC 5482), zero-window probes and keepalive (RFC 9293 3.8).
//
// Under its own lock; see stack.h for the order. Data and control go out while it is held, in order.
#pragma once

#include <memory>
#include <optional>

#include "base/mutex.h"
#include "netstack/endpoint.h"
#include "netstack/stack.h"
#include "netstack/tcp_congestion.h"
#include "netstack/tcp_scoreboard.h"

namespace cofferdam::netstack {

enum class TcpState : uint8_t {  // numbered as Linux does for TCP_INFO and /proc/net/tcp
  Established = 1,
  SynSent,
  SynReceived,
  FinWait1,
  FinWait2,
  TimeWait,
  Closed,
  CloseWait,
  LastAck,
  Listen,
  Closing,
};

struct TcpOptionsSet {  // what setsockopt(2) can change; read under the endpoint's lock
  bool no_delay = false, cork = false, keepalive = false, quick_ack = true, cubic = true, urgent_inline = false;
  Time keepalive_idle = 7200 * second, keepalive_interval = 75 * second, user_timeout = 0;
  unsigned keepalive_probes = 9, syn_retries = 6;
  unsigned defer_accept = 0;     // repetitions of a SYN,ACK that a listener waits for data; see defer_from_seconds
  Time fin_wait2 = 60 * second;  // TCP_LINGER2; negative: none
  uint16_t max_segment = 0;      // TCP_MAXSEG; 0: what the path allows
  uint32_t window_clamp = 0, not_sent_low_water = UINT32_MAX;
  uint8_t ttl = 0, tos = 0;
  bool send_size_fixed = false, receive_size_fixed = false;  // by SO_SNDBUF, SO_RCVBUF
};

struct TcpInfo {
  TcpState state = TcpState::Closed;
  CongestionState congestion = CongestionState::Open;
  uint8_t retransmits = 0, probes = 0, backoff = 0;
  bool timestamps = false, sack = false, window_scale = false, ecn = false, ecn_seen = false;
  uint8_t send_scale = 0, receive_scale = 0;
  Time rto = 0, ack_timeout = 0, smoothed_rtt = 0, rtt_variation = 0, min_rtt = 0, receive_rtt = 0;
  uint32_t send_mss = 0, receive_mss = 0, advertised_mss = 0, path_mtu = 0;
  uint64_t cwnd_bytes = 0, ssthresh_bytes = 0, unacked = 0, sacked = 0, lost = 0, not_sent = 0;
  uint64_t retransmitted = 0, bytes_acked = 0, bytes_received = 0, bytes_sent = 0, bytes_retransmitted = 0;
  uint64_t segments_out = 0, segments_in = 0, data_segments_out = 0, data_segments_in = 0;
  uint32_t send_window = 0, receive_window = 0, receive_space = 0, reordering_seen = 0;
  Time last_data_sent = 0, last_data_received = 0, last_ack_received = 0;
};

// TCP_DEFER_ACCEPT counts seconds, the protocol repetitions.
unsigned defer_from_seconds(unsigned seconds);
unsigned defer_to_seconds(unsigned repetitions);

inline constexpr Time minimum_rto = 200 * millisecond, maximum_rto = 120 * second;
inline constexpr unsigned quick_acks_at_start = 16;  // segments acknowledged at once, for the sender's window to grow

class TcpEndpoint final : public TcpReceiver {
 public:
  TcpEndpoint(Stack& stack, bool v4, Ref<EndpointObserver> observer);
  ~TcpEndpoint() override;
  Stack& stack() const { return stack_; }
  bool is_v4_socket() const { return v4_; }

  // --- the user's calls (RFC 9293 3.10.1 to 3.10.6); none blocks ---
  Result<void> bind(BindRequest);  // EINVAL, EADDRINUSE, EADDRNOTAVAIL
  Result<void> listen(size_t backlog, BindRequest defaults);
  // Sends the SYN. EISCONN, EALREADY, EADDRNOTAVAIL, ENETUNREACH; afterwards event_out or an error tells.
  Result<void> connect(Peer const&, BindRequest defaults);
  Result<Ref<TcpEndpoint>> accept();  // EAGAIN, EINVAL
  void set_observer(Ref<EndpointObserver>);
  // How many bytes may be given to send: 0 when there is no room. ENOTCONN, EPIPE, the pending error.
  Result<size_t> send_room();
  // Takes all of it. more: more will come at once (MSG_MORE).
  Result<void> send(Chain, bool more);
  Result<void> send_copy(Bytes, bool more);
  // The same, and its last byte is urgent (MSG_OOB).
  Result<void> send_urgent(Bytes);
  // Views of up to `length` bytes from `offset` on, which stay until consumed. Empty at end of stream; EAGAIN,
  // ENOTCONN; the pending error, which stays pending where `keep_error`.
  Result<Chain> peek(size_t offset, size_t length, bool keep_error = false);
  void consume(size_t n);
  // The urgent byte, which is not in the stream unless options().urgent_inline. EINVAL: there is none, or it was read;
  // EAGAIN: told of, but not yet here; nothing at the end of the stream.
  Result<std::optional<std::byte>> take_urgent(bool peek);
  // Is the byte so many ahead the urgent one, or was that before what is next? (sockatmark(3))
  bool at_mark(size_t ahead = 0) const;
  Result<void> shutdown(bool read, bool write);  // ENOTCONN
  // The user is gone. linger_zero: reset rather than finish.
  void close(bool linger_zero);
  void disconnect();             // connect(2) to AF_UNSPEC
  bool closed_for_good() const;  // for SO_LINGER: nothing of ours is on its way any more

  Events ready() const;
  int take_error();
  TcpState state() const;
  Peer local() const;
  std::optional<Peer> remote() const;
  Ref<PortBinding> binding() const;
  void bind_to_interface(uint32_t);  // 0: any again
  size_t readable_bytes() const, unsent_bytes() const, unacked_bytes() const;
  size_t accept_queue_length() const, backlog() const;
  TcpInfo info() const;
  template <class F>
  void change_options(F&& f);  // f(TcpOptionsSet&); acts on what changed
  TcpOptionsSet options() const;
  // TCP_QUICKACK (tcp(7)): acknowledge the next segments, and what waits, at once; or as late as is allowed.
  void set_quick_ack(bool);
  void set_buffer_sizes(std::optional<size_t> send, std::optional<size_t> receive);
  std::pair<size_t, size_t> buffer_sizes() const;
  std::atomic<bool> v6_only{false};
  std::atomic<bool> any_source{false};  // also from addresses that are not this host's (IP_TRANSPARENT)
  std::atomic<uint32_t> bound_interface{0};
  std::atomic<size_t> receive_low_water{1};
  std::atomic<bool> errors_at_once{false};  // what routers say is not kept for the end (IP_RECVERR)
  std::atomic<uint8_t> save_syn{0};         // TCP_SAVE_SYN: a listener's connections keep the headers that began them
  size_t saved_syn_size() const;
  std::vector<std::byte> take_saved_syn(size_t room);  // nothing where there is too little room
  EndpointOwner owner;

  // --- from the stack ---
  bool receive(TcpSegment&) override;
  // A segment for a listener: a SYN, or the ACK that ends a handshake by cookie.
  void receive_for_listener(TcpSegment&);
  void on_icmp(SeqNum, IcmpError const&);
  void on_timer(Time now) override;

 private:
  friend class TcpTimeWait;
  struct Locked;  // runs when the lock is let go: charges memory, tells the observer

  // tcp_endpoint.cc
  void set_state(TcpState) REQUIRES(mutex_);
  void finish_locked() REQUIRES(mutex_);
  void die(int error) REQUIRES(mutex_);  // to Closed, without a word to the peer
  void abort_locked(int error) REQUIRES(mutex_);
  void leave_tables() REQUIRES(mutex_);
  Result<void> connect_locked(Peer, BindRequest&) REQUIRES(mutex_);
  void begin_connection(Path const&, SeqNum iss) REQUIRES(mutex_);
  void notify(Events e) REQUIRES(mutex_) { pending_events_ |= e; }
  void stop_listening();
  bool synchronized() const REQUIRES(mutex_);
  bool may_send_data() const REQUIRES(mutex_);
  Events ready_locked() const REQUIRES(mutex_);
  size_t free_send_space() const REQUIRES(mutex_);
  void settle_memory() REQUIRES(mutex_);
  void grow_send_buffer() REQUIRES(mutex_);
  void measure_reading(size_t n) REQUIRES(mutex_);
  void enter_time_wait() REQUIRES(mutex_);
  // tcp_input.cc
  void segment_syn_sent(TcpSegment&) REQUIRES(mutex_);
  bool segment_synchronized(TcpSegment&) REQUIRES(mutex_);
  bool acceptable(TcpSegment const&) const REQUIRES(mutex_);
  bool check_timestamps(TcpSegment const&) REQUIRES(mutex_);
  void process_reset(TcpSegment const&) REQUIRES(mutex_);
  void end_by_reset() REQUIRES(mutex_);
  void note_largest_window() REQUIRES(mutex_);
  bool process_ack(TcpSegment const&) REQUIRES(mutex_);
  void process_ack_of_syn_received(TcpSegment const&) REQUIRES(mutex_);
  void acknowledged(TcpSegment const&) REQUIRES(mutex_);
  void duplicate_reported(SackBlock const&) REQUIRES(mutex_);
  void update_send_window(TcpSegment const&, bool advanced) REQUIRES(mutex_);
  void after_fin_acked() REQUIRES(mutex_);
  void process_data(TcpSegment&) REQUIRES(mutex_);
  void accept_in_order(Packet&, size_t skip) REQUIRES(mutex_);
  void look_for_urgent(TcpSegment const&) REQUIRES(mutex_);
  SeqNum read_position() const REQUIRES(mutex_);  // number of the byte that the user reads next
  bool hides_urgent() const REQUIRES(mutex_);     // the next byte is not for the stream's readers
  void note_congestion_mark(TcpSegment const&) REQUIRES(mutex_);
  void queue_out_of_order(TcpSegment&) REQUIRES(mutex_);
  void report_overlap(size_t i, SeqNum start, SeqNum end) REQUIRES(mutex_);
  void refuse_data(TcpSegment const&) REQUIRES(mutex_);
  void drain_out_of_order() REQUIRES(mutex_);
  void process_fin() REQUIRES(mutex_);
  void challenge_ack() REQUIRES(mutex_);
  void refuse_with_ack(TcpSegment const&) REQUIRES(mutex_);
  void shrink_path(uint32_t mtu) REQUIRES(mutex_);
  void revert_backoff(SeqNum about, IcmpError const&) REQUIRES(mutex_);
  void sample_rtt(Time rtt) REQUIRES(mutex_);
  void become_established() REQUIRES(mutex_);
  void take_peer_options(TcpOptions const&) REQUIRES(mutex_);
  bool hand_to_listener() REQUIRES(mutex_);
  // tcp_output.cc
  void output() REQUIRES(mutex_);
  bool send_new_segment(bool force) REQUIRES(mutex_);
  void retransmit(SentSegment&) REQUIRES(mutex_);
  void transmit(SeqNum, size_t offset, size_t length, uint8_t flags) REQUIRES(mutex_);
  void send_syn(bool with_ack) REQUIRES(mutex_);
  void send_ack() REQUIRES(mutex_);
  void send_control(SeqNum, uint8_t flags) REQUIRES(mutex_);
  void send_packet(TcpHeader&, PacketPtr) REQUIRES(mutex_);
  void schedule_ack(bool now) REQUIRES(mutex_);
  uint16_t window_to_advertise() REQUIRES(mutex_);
  uint32_t receive_window() const REQUIRES(mutex_);
  void fill_sack(TcpOptions&, size_t room) REQUIRES(mutex_);
  size_t segment_limit() const REQUIRES(mutex_);  // bytes of payload a segment may have
  size_t option_size() const REQUIRES(mutex_);
  uint32_t timestamp() const REQUIRES(mutex_);
  void update_mss() REQUIRES(mutex_);
  size_t pipe() const REQUIRES(mutex_);  // bytes on their way, as far as is known
  bool nagle_allows(size_t length, bool last) const REQUIRES(mutex_);
  // tcp_recovery.cc
  void detect_losses(Time now) REQUIRES(mutex_);
  void enter_recovery() REQUIRES(mutex_);
  void reduce_once() REQUIRES(mutex_);
  void begin_reduction() REQUIRES(mutex_);
  void look_for_needless_recovery(TcpSegment const&, bool filled) REQUIRES(mutex_);
  void undo_recovery() REQUIRES(mutex_);
  void suspect_black_hole() REQUIRES(mutex_);
  void adjust_recovery(size_t delivered, size_t newly_lost, bool advanced) REQUIRES(mutex_);
  void leave_recovery() REQUIRES(mutex_);
  void rack_update(SentSegment const&, Time now, TcpSegment const&) REQUIRES(mutex_);
  void arm_rto() REQUIRES(mutex_);
  void arm_probe_or_rto() REQUIRES(mutex_);
  Time current_rto() const REQUIRES(mutex_);
  unsigned handshake_limit() const REQUIRES(mutex_);
  void on_rto(Time now) REQUIRES(mutex_);
  void on_loss_probe(Time now) REQUIRES(mutex_);
  // tcp_timers.cc
  void rearm() REQUIRES(mutex_);
  void on_persist(Time now) REQUIRES(mutex_);
  void on_keepalive(Time now) REQUIRES(mutex_);
  bool gave_up(Time now, unsigned retries) REQUIRES(mutex_);
  bool silent_for(Time now, unsigned repetitions) const REQUIRES(mutex_);
  void arm_persist() REQUIRES(mutex_);
  Time until_user_timeout(Time at) const REQUIRES(mutex_);
  // tcp_listener.cc
  struct Pattern;  // what a connection takes over from its listener
  void listener_syn(TcpSegment&);
  void listener_ack(TcpSegment&);
  Ref<TcpEndpoint> make_child(TcpSegment const&, Pattern const&, SeqNum iss, bool half_open);
  bool enqueue(TcpEndpoint& child, bool was_half_open);  // of the listener, from its child; false: no room
  void child_gone();

  Stack& stack_;
  bool const v4_;
  mutable Mutex mutex_;
  Ref<EndpointObserver> observer_ GUARDED_BY(mutex_);
  TcpState state_ GUARDED_BY(mutex_) = TcpState::Closed;
  bool detached_ GUARDED_BY(mutex_) = false;  // the user is gone
  bool in_demux_ GUARDED_BY(mutex_) = false;
  bool counted_orphan_ GUARDED_BY(mutex_) = false;
  bool shut_read_ GUARDED_BY(mutex_) = false, shut_write_ GUARDED_BY(mutex_) = false;
  bool bound_by_user_ GUARDED_BY(mutex_) = false;
  Address bound_address_ GUARDED_BY(mutex_);  // by bind(2), also without a port
  bool fin_received_ GUARDED_BY(mutex_) = false;
  int error_ GUARDED_BY(mutex_) = 0, soft_error_ GUARDED_BY(mutex_) = 0;
  Events pending_events_ GUARDED_BY(mutex_) = 0;
  Ref<PortBinding> binding_ GUARDED_BY(mutex_);
  FourTuple tuple_ GUARDED_BY(mutex_);
  Path path_ GUARDED_BY(mutex_);
  TcpOptionsSet options_ GUARDED_BY(mutex_);
  uint8_t flow_ GUARDED_BY(mutex_) = 0;

  // Send sequence space (RFC 9293 3.3.1). snd_buffer_ begins at snd_una_, but for a SYN.
  SeqNum iss_ GUARDED_BY(mutex_), snd_una_ GUARDED_BY(mutex_), snd_nxt_ GUARDED_BY(mutex_);
  SeqNum snd_wl1_ GUARDED_BY(mutex_), snd_wl2_ GUARDED_BY(mutex_);
  uint32_t snd_wnd_ GUARDED_BY(mutex_) = 0, max_snd_wnd_ GUARDED_BY(mutex_) = 0;
  uint8_t snd_scale_ GUARDED_BY(mutex_) = 0, rcv_scale_ GUARDED_BY(mutex_) = 0;
  Chain snd_buffer_ GUARDED_BY(mutex_);
  size_t snd_limit_ GUARDED_BY(mutex_);
  bool fin_wanted_ GUARDED_BY(mutex_) = false, fin_sent_ GUARDED_BY(mutex_) = false;
  bool more_coming_ GUARDED_BY(mutex_) = false;
  SeqNum small_sent_ GUARDED_BY(mutex_);  // end of the last segment that was not full (Minshall)
  Time cork_since_ GUARDED_BY(mutex_) = 0;
  uint32_t mss_ GUARDED_BY(mutex_) = 536, peer_mss_ GUARDED_BY(mutex_) = 536, advertised_mss_ GUARDED_BY(mutex_) = 536;
  mutable bool tell_writable_ GUARDED_BY(mutex_) = false;  // somebody found it full

  // Receive sequence space.
  SeqNum irs_ GUARDED_BY(mutex_), rcv_nxt_ GUARDED_BY(mutex_), rcv_edge_ GUARDED_BY(mutex_);
  SeqNum last_ack_sent_ GUARDED_BY(mutex_);
  Chain rcv_buffer_ GUARDED_BY(mutex_);
  size_t rcv_limit_ GUARDED_BY(mutex_);
  struct Gathered {  // what came before its time
    SeqNum start, end;
    Chain data;
    bool fin = false;
  };
  Ring<Gathered> out_of_order_ GUARDED_BY(mutex_);
  size_t out_of_order_bytes_ GUARDED_BY(mutex_) = 0;
  SeqNum newest_block_ GUARDED_BY(mutex_);                 // start of the one that changed last
  std::optional<SackBlock> duplicate_ GUARDED_BY(mutex_);  // to report by D-SACK
  uint32_t rcv_mss_ GUARDED_BY(mutex_) = 536;
  unsigned quick_acks_ GUARDED_BY(mutex_) = 0;
  size_t read_since_ GUARDED_BY(mutex_) = 0, rcv_space_ GUARDED_BY(mutex_) = 0;
  Time read_mark_ GUARDED_BY(mutex_) = 0, rcv_rtt_ GUARDED_BY(mutex_) = 0;

  std::vector<std::byte> saved_syn_ GUARDED_BY(mutex_);

  // Urgent data (RFC 9293 3.8.5, RFC 6093).
  SeqNum snd_urgent_ GUARDED_BY(mutex_);  // behind the last urgent byte that was sent; snd_una_ passes it
  enum class Urgent : uint8_t { None, Announced, Here, Taken } urgent_ GUARDED_BY(mutex_) = Urgent::None;
  SeqNum urgent_at_ GUARDED_BY(mutex_);
  std::byte urgent_byte_ GUARDED_BY(mutex_){};

  // Explicit congestion notification (RFC 3168).
  bool ecn_ GUARDED_BY(mutex_) = false, ecn_seen_ GUARDED_BY(mutex_) = false;
  bool tell_congestion_ GUARDED_BY(mutex_) = false;  // ECE on all that is sent, until the peer's CWR
  bool tell_reduced_ GUARDED_BY(mutex_) = false;     // CWR on the next new data

  // Options in force.
  bool sack_ok_ GUARDED_BY(mutex_) = false, timestamps_ GUARDED_BY(mutex_) = false, scaling_ GUARDED_BY(mutex_) = false;
  uint32_t ts_offset_ GUARDED_BY(mutex_) = 0, ts_recent_ GUARDED_BY(mutex_) = 0;
  Time ts_recent_at_ GUARDED_BY(mutex_) = 0;

  // Round trips, losses, congestion.
  Time srtt_ GUARDED_BY(mutex_) = 0, rttvar_ GUARDED_BY(mutex_) = 0, min_rtt_ GUARDED_BY(mutex_) = never;
  Time min_rtt_at_ GUARDED_BY(mutex_) = 0;
  Time rto_ GUARDED_BY(mutex_) = second;
  unsigned backoff_ GUARDED_BY(mutex_) = 0, retransmits_ GUARDED_BY(mutex_) = 0;
  Scoreboard board_ GUARDED_BY(mutex_);
  Congestion congestion_ GUARDED_BY(mutex_);
  SeqNum recover_ GUARDED_BY(mutex_);
  size_t prr_delivered_ GUARDED_BY(mutex_) = 0, prr_out_ GUARDED_BY(mutex_) = 0, recover_flight_ GUARDED_BY(mutex_) = 0;
  struct Undo {  // of a recovery, should it turn out that what was sent again had not been lost
    Congestion before;
    bool resent = false, late = false, lost = false;  // something was; and what was known of it then
    uint32_t first_stamp = 0;                         // timestamp of what was sent again first
    size_t in_doubt = 0;  // bytes sent again of which the peer has not said that they were there already
  };
  std::unique_ptr<Undo> undo_ GUARDED_BY(mutex_);
  unsigned duplicate_acks_ GUARDED_BY(mutex_) = 0;
  Time rack_sent_ GUARDED_BY(mutex_) = 0, rack_rtt_ GUARDED_BY(mutex_) = 0;
  SeqNum rack_end_ GUARDED_BY(mutex_);
  SeqNum forward_ack_ GUARDED_BY(mutex_);  // highest sequence number delivered
  bool reordering_seen_ GUARDED_BY(mutex_) = false;
  unsigned reo_multiplier_ GUARDED_BY(mutex_) = 1, reo_recoveries_ GUARDED_BY(mutex_) = 0;
  SeqNum dsack_round_ GUARDED_BY(mutex_);
  bool dsack_seen_ GUARDED_BY(mutex_) = false;
  std::optional<SeqNum> probe_end_ GUARDED_BY(mutex_);  // of a tail loss probe that is on its way
  bool probe_was_retransmission_ GUARDED_BY(mutex_) = false;

  // Deadlines, all looked after by the one timer.
  Time armed_for_ GUARDED_BY(mutex_) = never;
  Time rto_at_ GUARDED_BY(mutex_) = never, probe_at_ GUARDED_BY(mutex_) = never, reorder_at_ GUARDED_BY(mutex_) = never;
  Time ack_at_ GUARDED_BY(mutex_) = never, persist_at_ GUARDED_BY(mutex_) = never,
               keepalive_at_ GUARDED_BY(mutex_) = never;
  Time cork_at_ GUARDED_BY(mutex_) = never, fin_wait_at_ GUARDED_BY(mutex_) = never;
  Time stalled_since_ GUARDED_BY(mutex_) = 0;   // since when nothing that we sent was acknowledged; 0: all was
  Time repeated_since_ GUARDED_BY(mutex_) = 0;  // when something was sent again for the first time
  Time last_received_ GUARDED_BY(mutex_) = 0, last_sent_data_ GUARDED_BY(mutex_) = 0,
                      last_data_received_ GUARDED_BY(mutex_) = 0;
  unsigned probes_ GUARDED_BY(mutex_) = 0;  // unanswered: zero-window or keepalive
  Time refused_at_ GUARDED_BY(mutex_) = 0;  // when it last answered a segment that was not acceptable

  // Listeners, and what they have made.
  struct Listener {
    size_t backlog = 0;
    size_t half_open = 0;
    Ring<Ref<TcpEndpoint>> waiting;
  };
  std::unique_ptr<Listener> listener_ GUARDED_BY(mutex_);
  Ref<TcpEndpoint> parent_ GUARDED_BY(mutex_);  // until it is in the parent's queue

  bool deferred_ GUARDED_BY(mutex_) = false;        // the handshake is complete, but its listener waits for data
  uint32_t black_hole_mss_ GUARDED_BY(mutex_) = 0;  // what larger segments than this seem to vanish in; 0: nothing

  size_t charged_ GUARDED_BY(mutex_) = 0;
  struct Totals {
    uint64_t retransmitted = 0, bytes_acked = 0, bytes_received = 0, bytes_sent = 0, bytes_retransmitted = 0;
    uint64_t segments_out = 0, segments_in = 0, data_segments_out = 0, data_segments_in = 0;
  } totals_ GUARDED_BY(mutex_);
};

// Answers a segment that belongs to no connection (RFC 9293 3.10.7.1).
void send_reset(Stack&, TcpSegment const&);

// Takes the lock of an endpoint; lets go of it, then tells the observer and delivers what goes to this host.
struct SCOPED_CAPABILITY TcpEndpoint::Locked {
  explicit Locked(TcpEndpoint& e) ACQUIRE(e.mutex_);
  ~Locked() RELEASE();
  TcpEndpoint& endpoint;
};

template <class F>
void TcpEndpoint::change_options(F&& f) {
  Stack::Visit visit(stack_);
  Locked lock(*this);
  bool keepalive = options_.keepalive;
  f(options_);
  if (options_.keepalive != keepalive || options_.keepalive) {
    keepalive_at_ = options_.keepalive && synchronized() ? stack_.now() + options_.keepalive_idle : never;
  }
  if (!board_.empty() || !snd_buffer_.empty()) output();
  rearm();
}

// What is left of a connection that has said all: answers what is late, for two segment lifetimes.
class TcpTimeWait final : public TcpReceiver {
 public:
  static constexpr Time duration = 60 * second;
  TcpTimeWait(Stack& stack, FourTuple const& tuple, Path const& path, Ref<PortBinding> binding, SeqNum snd_nxt,
              SeqNum rcv_nxt, uint32_t window, bool timestamps, uint32_t ts_offset, uint32_t ts_recent);
  ~TcpTimeWait() override;
  bool receive(TcpSegment&) override;
  bool is_time_wait() const override { return true; }
  void on_timer(Time now) override;
  void begin(Time how_long);
  void end();
  FourTuple const& tuple() const { return tuple_; }
  PortBinding const& binding() const { return *binding_; }
  // May a new connection take its place (RFC 6191)? The sequence number that it should begin behind.
  std::optional<SeqNum> reusable(Time now, bool port_was_chosen) const;

 private:
  void answer(Time now, TcpSegment const&) REQUIRES(mutex_);
  Stack& stack_;
  FourTuple const tuple_;
  Path const path_;
  Ref<PortBinding> const binding_;
  mutable Mutex mutex_;
  SeqNum snd_nxt_ GUARDED_BY(mutex_), rcv_nxt_ GUARDED_BY(mutex_);
  uint16_t const window_;
  bool const timestamps_;
  uint32_t const ts_offset_;
  uint32_t ts_recent_ GUARDED_BY(mutex_);
  Time ts_recent_at_ GUARDED_BY(mutex_), until_ GUARDED_BY(mutex_) = 0;
  Time answered_at_ GUARDED_BY(mutex_) = 0;
};

}  // namespace cofferdam::netstack
