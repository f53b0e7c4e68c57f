// A bad network: a switch between tap devices, one in each of some network namespaces, that loses, doubles, reorders
// and delays frames and lets them through at a rate, as netem(8) does where the kernel has it.
//
//   impair SEED LOSS DUPLICATE REORDER DELAY_US RATE_KBIT LIMIT NAMESPACE...
//
// LOSS, DUPLICATE and REORDER count of a million frames; a reordered frame skips the delay. RATE_KBIT is of each port,
// 0 is none; LIMIT is how many frames a port holds. The devices are called eth0. Prints "ready", ends with standard
// input.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { PORTS = 8, FRAME = 1600, HELD = 16384, ADDRESS = 6, MILLION = 1000000, BURST = 64 };

struct frame {
  int64_t due_ns;
  uint64_t number;  // among those due at one time, the first that came
  size_t length;
  unsigned char bytes[FRAME];
};

// What waits for a port: a heap by due time. And when the last of it has passed at the port's rate.
struct port {
  int fd;
  unsigned char address[ADDRESS];
  int known;
  int64_t free_at_ns;
  size_t count;
  struct frame* heap[HELD];
};

static struct port ports[PORTS];
static int port_count;
static uint64_t state, numbers;
static int64_t loss, duplicate, reorder, delay_ns, rate_kbit, limit;

static void check(int ok, const char* what) {
  if (!ok) {
    perror(what);
    _exit(1);
  }
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int chance(int64_t in_a_million) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (int64_t)(state % MILLION) < in_a_million;
}

static int before(const struct frame* a, const struct frame* b) {
  return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->number < b->number;
}

static void push(struct port* p, struct frame* f) {
  size_t i = p->count++;
  for (; i != 0 && before(f, p->heap[(i - 1) / 2]); i = (i - 1) / 2) p->heap[i] = p->heap[(i - 1) / 2];
  p->heap[i] = f;
}

static struct frame* pop(struct port* p) {
  struct frame *first = p->heap[0], *last = p->heap[--p->count];
  size_t i = 0;
  for (size_t child; (child = 2 * i + 1) < p->count; i = child) {
    if (child + 1 < p->count && before(p->heap[child + 1], p->heap[child])) ++child;
    if (!before(p->heap[child], last)) break;
    p->heap[i] = p->heap[child];
  }
  p->heap[i] = last;
  return first;
}

// One frame on its way out of a port.
static void queue(struct port* p, const unsigned char* bytes, size_t length, int64_t now) {
  if ((int64_t)p->count >= limit || p->count == HELD) return;
  struct frame* f = malloc(sizeof *f);
  check(f != NULL, "malloc");
  int64_t const start = p->free_at_ns > now ? p->free_at_ns : now;
  p->free_at_ns = start + (rate_kbit ? (int64_t)length * 8 * 1000000 / rate_kbit : 0);
  f->due_ns = p->free_at_ns + (chance(reorder) ? 0 : delay_ns);
  f->number = numbers++;
  f->length = length;
  memcpy(f->bytes, bytes, length);
  push(p, f);
}

static void forward(int from, const unsigned char* bytes, size_t length, int64_t now) {
  if (length < 2 * ADDRESS) return;
  memcpy(ports[from].address, bytes + ADDRESS, ADDRESS);
  ports[from].known = 1;
  int to = -1;
  for (int i = 0; i < port_count; ++i)
    if (ports[i].known && memcmp(ports[i].address, bytes, ADDRESS) == 0) to = i;
  for (int i = 0; i < port_count; ++i) {
    if (i == from || (to >= 0 && i != to) || chance(loss)) continue;
    queue(&ports[i], bytes, length, now);
    if (chance(duplicate)) queue(&ports[i], bytes, length, now);
  }
}

static int make_tap(const char* namespace) {
  char path[256];
  snprintf(path, sizeof path, "/run/netns/%s", namespace);
  int const space = open(path, O_RDONLY | O_CLOEXEC);
  check(space >= 0 && setns(space, CLONE_NEWNET) == 0, path);
  close(space);
  int const fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  strcpy(request.ifr_name, "eth0");
  check(fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0, "tap device");
  return fd;
}

// What is due goes; returns when the next is.
static int64_t release(int64_t now) {
  int64_t next = INT64_MAX;
  for (int i = 0; i < port_count; ++i) {
    struct port* p = &ports[i];
    while (p->count != 0 && p->heap[0]->due_ns <= now) {
      struct frame* f = pop(p);
      ssize_t const written = write(p->fd, f->bytes, f->length);
      check(written >= 0 || errno == EAGAIN || errno == EIO, "write");  // EIO: the device is down
      free(f);
    }
    if (p->count != 0 && p->heap[0]->due_ns < next) next = p->heap[0]->due_ns;
  }
  return next;
}

static void take_in(int i) {
  unsigned char bytes[FRAME];
  for (int n = 0; n < BURST; ++n) {
    ssize_t const length = read(ports[i].fd, bytes, sizeof bytes);
    if (length <= 0) return;
    forward(i, bytes, (size_t)length, now_ns());
  }
}

int main(int argc, char** argv) {
  if (argc < 10 || argc - 8 > PORTS) {
    fprintf(stderr, "impair: see the head of impair.c\n");
    return 2;
  }
  int64_t* const numbers_of[] = {&loss, &duplicate, &reorder, &delay_ns, &rate_kbit, &limit};
  state = strtoull(argv[1], NULL, 0) * UINT64_C(0x9e3779b97f4a7c15) + 1;
  for (int i = 0; i < 6; ++i) *numbers_of[i] = strtoll(argv[2 + i], NULL, 0);
  delay_ns *= 1000;
  for (int i = 8; i < argc; ++i) ports[port_count++].fd = make_tap(argv[i]);
  prctl(PR_SET_TIMERSLACK, 1);
  puts("ready");
  fflush(stdout);
  struct pollfd waits[PORTS + 1];
  for (int i = 0; i < port_count; ++i) waits[i] = (struct pollfd){.fd = ports[i].fd, .events = POLLIN};
  waits[port_count] = (struct pollfd){.fd = 0, .events = POLLIN};
  while (!waits[port_count].revents) {
    int64_t const now = now_ns(), next = release(now), left = next == INT64_MAX ? 1000000000 : next - now;
    struct timespec const timeout = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    check(ppoll(waits, (nfds_t)port_count + 1, &timeout, NULL) >= 0 || errno == EINTR, "ppoll");
    for (int i = 0; i < port_count; ++i)
      if (waits[i].revents) take_in(i);
  }
  return 0;
}
