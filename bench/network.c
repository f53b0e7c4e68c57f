// What the network costs, in one program for all sides of a measurement; run natively and in each runtime.
//
//   network connect COUNT           connections made, accepted and closed on the loopback: "connect PER_SECOND"
//   network pingpong SECONDS        a byte there and one back on a loopback connection: "pingpong PER_SECOND"
//   network udp SECONDS             datagrams of 64 bytes that arrive on the loopback: "udp PER_SECOND"
//   network sink PORT               counts datagrams that come from elsewhere; "sink PER_SECOND" when they have ended
//   network flood ADDRESS PORT SECONDS  sends them
//   network hold PORT COUNT         accepts so many connections, prints "held COUNT" and keeps them
//   network dial ADDRESS PORT COUNT makes them, prints "dialled COUNT" and keeps them until standard input ends
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DATAGRAM = 64, BACKLOG = 1024, PER_SOURCE = 8000 };

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void check(int ok, const char* what) {
  if (!ok) {
    perror(what);
    _exit(1);
  }
}

static struct sockaddr_in at(const char* address, int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  check(inet_pton(AF_INET, address, &a.sin_addr) == 1, address);
  return a;
}

static int bound(int type, int port, struct sockaddr_in* where) {
  int fd = socket(AF_INET, type, 0), on = 1;
  check(fd >= 0, "socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in a = at("0.0.0.0", port);
  check(bind(fd, (struct sockaddr*)&a, sizeof a) == 0, "bind");
  if (type == SOCK_STREAM) check(listen(fd, BACKLOG) == 0, "listen");
  socklen_t length = sizeof a;
  getsockname(fd, (struct sockaddr*)&a, &length);
  if (where) {
    *where = at("127.0.0.1", 0);
    where->sin_port = a.sin_port;
  }
  return fd;
}

static int connected(const struct sockaddr_in* to, const struct sockaddr_in* from) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  check(fd >= 0, "socket");
  if (from) {
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    check(bind(fd, (const struct sockaddr*)from, sizeof *from) == 0, "bind");
  }
  check(connect(fd, (const struct sockaddr*)to, sizeof *to) == 0, "connect");
  return fd;
}

static void* accept_and_close(void* argument) {
  int const* what = argument;
  for (int i = 0; i < what[1]; ++i) {
    int fd = accept(what[0], NULL, NULL);
    check(fd >= 0, "accept");
    close(fd);
  }
  return NULL;
}

// The sources change, so that no port is asked for that is in TIME-WAIT.
static void do_connect(int count) {
  struct sockaddr_in to;
  int what[2] = {bound(SOCK_STREAM, 0, &to), count};
  pthread_t acceptor;
  check(pthread_create(&acceptor, NULL, accept_and_close, what) == 0, "pthread_create");
  int64_t const start = now_ns();
  for (int i = 0; i < count; ++i) {
    struct sockaddr_in from = at("127.0.1.1", 0);
    from.sin_addr.s_addr = htonl(ntohl(from.sin_addr.s_addr) + (uint32_t)(i / PER_SOURCE));
    close(connected(&to, &from));
  }
  pthread_join(acceptor, NULL);
  printf("connect %.0f\n", count * 1e9 / (double)(now_ns() - start));
}

static void* echo(void* argument) {
  int fd = accept(*(int*)argument, NULL, NULL), on = 1;
  check(fd >= 0, "accept");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  char byte;
  while (read(fd, &byte, 1) == 1) check(write(fd, &byte, 1) == 1, "write");
  close(fd);
  return NULL;
}

static void do_pingpong(int seconds) {
  struct sockaddr_in to;
  int listener = bound(SOCK_STREAM, 0, &to), on = 1;
  pthread_t other;
  check(pthread_create(&other, NULL, echo, &listener) == 0, "pthread_create");
  int fd = connected(&to, NULL);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  int64_t const start = now_ns(), end = start + seconds * INT64_C(1000000000);
  long count = 0;
  char byte = 'x';
  for (; now_ns() < end; ++count) {
    check(write(fd, &byte, 1) == 1, "write");
    check(read(fd, &byte, 1) == 1, "read");
  }
  printf("pingpong %.0f\n", (double)count * 1e9 / (double)(now_ns() - start));
  close(fd);
  pthread_join(other, NULL);
}

struct flood {
  struct sockaddr_in to;
  int seconds;
};

static void* flood(void* argument) {
  const struct flood* f = argument;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  check(fd >= 0 && connect(fd, (const struct sockaddr*)&f->to, sizeof f->to) == 0, "connect");
  char datagram[DATAGRAM] = {0};
  int64_t const end = now_ns() + f->seconds * INT64_C(1000000000);
  while (now_ns() < end)
    for (int i = 0; i < 32; ++i)
      check(send(fd, datagram, sizeof datagram, 0) > 0 || errno == ECONNREFUSED || errno == ENOBUFS, "send");
  close(fd);
  return NULL;
}

// Counts from the first one on, until none has come for half a second.
static double count_arrivals(int fd) {
  char datagram[2048];
  struct timeval patience = {.tv_usec = 500000};
  check(recv(fd, datagram, sizeof datagram, 0) > 0, "recv");
  int64_t const start = now_ns();
  int64_t last = start;
  long count = 0;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  for (; recv(fd, datagram, sizeof datagram, 0) > 0; ++count)
    if (count % 64 == 0) last = now_ns();
  return (double)count * 1e9 / (double)(last - start + 1);
}

static void do_udp(int seconds) {
  struct flood f = {.seconds = seconds};
  int fd = bound(SOCK_DGRAM, 0, &f.to);
  pthread_t sender;
  check(pthread_create(&sender, NULL, flood, &f) == 0, "pthread_create");
  printf("udp %.0f\n", count_arrivals(fd));
  pthread_join(sender, NULL);
}

static void do_hold(int port, int count) {
  int fd = bound(SOCK_STREAM, port, NULL);
  printf("ready\n");
  fflush(stdout);
  for (int i = 0; i < count; ++i) check(accept(fd, NULL, NULL) >= 0, "accept");
  printf("held %d\n", count);
  fflush(stdout);
  pause();
}

static void do_dial(const char* address, int port, int count) {
  struct sockaddr_in to = at(address, port);
  for (int i = 0; i < count; ++i) connected(&to, NULL);
  printf("dialled %d\n", count);
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) continue;
}

int main(int argc, char** argv) {
  const char* what = argc > 2 ? argv[1] : "";
  int const number = argc > 2 ? atoi(argv[2]) : 0;
  if (strcmp(what, "connect") == 0)
    do_connect(number);
  else if (strcmp(what, "pingpong") == 0)
    do_pingpong(number);
  else if (strcmp(what, "udp") == 0)
    do_udp(number);
  else if (strcmp(what, "sink") == 0)
    printf("sink %.0f\n", count_arrivals(bound(SOCK_DGRAM, number, NULL)));
  else if (strcmp(what, "flood") == 0 && argc == 5)
    flood(&(struct flood){at(argv[2], atoi(argv[3])), atoi(argv[4])});
  else if (strcmp(what, "hold") == 0 && argc == 4)
    do_hold(number, atoi(argv[3]));
  else if (strcmp(what, "dial") == 0 && argc == 5)
    do_dial(argv[2], atoi(argv[3]), atoi(argv[4]));
  else {
    fprintf(stderr, "network: see the head of network.c\n");
    return 2;
  }
  return 0;
}
