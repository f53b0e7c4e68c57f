// Bytes both ways on one TCP connection, each looked at: they follow from a seed, so that both ends know them.
//
//   transfer serve PORT                     answers connections one after the other
//   transfer fetch ADDRESS PORT UP DOWN     sends UP bytes while it receives DOWN; "SECONDS" until the server has said
//   that
//                                           all were right
//
// Both ask for CUBIC, whatever the default is, so that sandbox and Linux are measured with the same.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 65536, PATIENCE_MS = 60000 };

struct request {
  uint64_t up, down, seed;
};

static void check(int ok, const char* what) {
  if (!ok) {
    perror(what);
    _exit(1);
  }
}

// The bytes of a stream from `at` on; at a multiple of eight.
static void fill(unsigned char* to, size_t n, uint64_t at, uint64_t seed) {
  for (size_t i = 0; i < n; i += 8) {
    uint64_t x = (at + i) / 8 + seed;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    memcpy(to + i, &x, n - i < 8 ? n - i : 8);
  }
}

// Does buf[0..n) stand at `at` of the stream?
static int is_right(const unsigned char* buf, size_t n, uint64_t at, uint64_t seed) {
  static unsigned char wanted[BLOCK + 16];
  size_t const skip = at % 8;
  fill(wanted, n + skip, at - skip, seed);
  return memcmp(buf, wanted + skip, n) == 0;
}

static void send_some(int fd, uint64_t* sent, uint64_t total, uint64_t seed) {
  static unsigned char block[BLOCK + 16];
  uint64_t const skip = *sent % 8;
  size_t n = total - *sent < BLOCK - 8 ? (size_t)(total - *sent) : BLOCK - 8;
  fill(block, n + skip, *sent - skip, seed);
  ssize_t const done = send(fd, block + skip, n, MSG_NOSIGNAL);
  check(done > 0 || errno == EAGAIN, "send");
  if (done > 0) *sent += (uint64_t)done;
}

static void receive_some(int fd, uint64_t* got, uint64_t total, uint64_t seed) {
  static unsigned char block[BLOCK];
  size_t const n = total - *got < BLOCK ? (size_t)(total - *got) : BLOCK;
  ssize_t const done = recv(fd, block, n, 0);
  if (done == 0) errno = EPIPE;
  check(done > 0 || (done < 0 && errno == EAGAIN), "recv");
  if (done < 0) return;
  if (!is_right(block, (size_t)done, *got, seed)) {
    fprintf(stderr, "wrong bytes between %llu and %llu\n", (unsigned long long)*got,
            (unsigned long long)(*got + (uint64_t)done));
    _exit(1);
  }
  *got += (uint64_t)done;
}

// Both directions at once, until all has gone and come.
static void pump(int fd, uint64_t out, uint64_t out_seed, uint64_t in, uint64_t in_seed) {
  check(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
  for (uint64_t sent = 0, got = 0; sent < out || got < in;) {
    struct pollfd p = {.fd = fd, .events = (short)((sent < out ? POLLOUT : 0) | (got < in ? POLLIN : 0))};
    int const ready = poll(&p, 1, PATIENCE_MS);
    if (ready == 0) errno = ETIMEDOUT;
    check(ready == 1, "poll");
    if (p.revents & POLLOUT) send_some(fd, &sent, out, out_seed);
    if ((p.revents & (POLLIN | POLLHUP | POLLERR)) && got < in) receive_some(fd, &got, in, in_seed);
  }
  check(fcntl(fd, F_SETFL, 0) == 0, "fcntl");
}

static void use_cubic(int fd) {
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) != 0) perror("no cubic here");
}

static void serve(const char* port) {
  int const fd = socket(AF_INET6, SOCK_STREAM, 0), on = 1;
  struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
  check(fd >= 0, "socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  use_cubic(fd);
  check(bind(fd, (struct sockaddr*)&at, sizeof at) == 0 && listen(fd, 8) == 0, "listen");
  puts("ready");
  fflush(stdout);
  for (;;) {
    int const connection = accept(fd, NULL, NULL);
    check(connection >= 0, "accept");
    struct request r;
    if (recv(connection, &r, sizeof r, MSG_WAITALL) == (ssize_t)sizeof r) {
      pump(connection, r.down, r.seed + 1, r.up, r.seed);
      check(send(connection, "k", 1, MSG_NOSIGNAL) == 1, "send");
    }
    close(connection);
  }
}

static void fetch(const char* address, const char* port, uint64_t up, uint64_t down) {
  struct addrinfo const hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
  struct addrinfo* to;
  struct timespec from, until;
  check(getaddrinfo(address, port, &hints, &to) == 0, "getaddrinfo");
  int const fd = socket(to->ai_family, SOCK_STREAM, 0);
  clock_gettime(CLOCK_MONOTONIC, &from);
  use_cubic(fd);
  check(fd >= 0 && connect(fd, to->ai_addr, to->ai_addrlen) == 0, "connect");
  struct request const r = {up, down, (uint64_t)from.tv_nsec};
  check(send(fd, &r, sizeof r, MSG_NOSIGNAL) == (ssize_t)sizeof r, "send");
  pump(fd, up, r.seed, down, r.seed + 1);
  char said;
  check(recv(fd, &said, 1, MSG_WAITALL) == 1 && said == 'k', "the server's word");
  clock_gettime(CLOCK_MONOTONIC, &until);
  printf("%.6f\n", (double)(until.tv_sec - from.tv_sec) + (double)(until.tv_nsec - from.tv_nsec) / 1e9);
}

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "serve") == 0)
    serve(argv[2]);
  else if (argc == 6 && strcmp(argv[1], "fetch") == 0)
    fetch(argv[2], argv[3], strtoull(argv[4], NULL, 0), strtoull(argv[5], NULL, 0));
  else {
    fprintf(stderr, "transfer: see the head of transfer.c\n");
    return 2;
  }
  return 0;
}
