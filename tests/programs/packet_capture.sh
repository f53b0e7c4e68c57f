# root: network
# tcpdump sees what passes, on one interface and on all, filters it, and writes a file that it can read again.
set -eu
d=$(mktemp -d); cd "$d"
capture() { # capture NAME ARGUMENTS...
  local name=$1; shift
  tcpdump -n -U --immediate-mode -w "$name.pcap" "$@" 2>"$name.log" & dumper=$!
  for _ in $(seq 100); do grep -q 'listening on' "$name.log" && return; sleep 0.05; done; cat "$name.log"; return 1
}
packets() { tcpdump -n -r "$1.pcap" 2>/dev/null; }
ended() { sleep 0.3; kill -INT $dumper; wait $dumper; }
capture icmp -i lo icmp
ping -n -c 3 -i 0.05 127.0.0.1 >/dev/null; ended
test "$(packets icmp | grep -c 'echo request')" = 3; test "$(packets icmp | grep -c 'echo reply')" = 3
capture udp -i any udp port 8300
for i in 1 2 3; do echo "$i" >/dev/udp/127.0.0.1/8300; echo "$i" >/dev/udp/127.0.0.1/8301; done; ended
test "$(packets udp | grep -c '\.8300: UDP')" -ge 3; if packets udp | grep -q '\.8301: UDP'; then exit 1; fi
python3 -m http.server --bind 127.0.0.1 8302 >/dev/null 2>&1 & server=$!
for _ in $(seq 100); do curl -s -o /dev/null http://127.0.0.1:8302/ && break; sleep 0.05; done
capture tcp -i lo -s 0 'tcp port 8302 and host 127.0.0.1'
curl -sS -o /dev/null http://127.0.0.1:8302/; ended; kill $server
packets tcp | grep -q 'Flags \[S\]'; packets tcp | grep -q 'Flags \[F'; tcpdump -n -A -r tcp.pcap 2>/dev/null | grep -q 'GET / HTTP'
if tcpdump -n -v -r tcp.pcap 2>/dev/null | grep -q 'bad cksum 0 '; then exit 1; fi
if setpriv --reuid=65534 --regid=65534 --clear-groups tcpdump -i lo -c 1 2>/dev/null; then exit 1; fi
cd /; rm -r "$d"
