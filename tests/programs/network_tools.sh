# root: network
# What an operator looks with: ping, traceroute, ip, ss, ifconfig, netstat, socat, nc, iperf3.
set -eu
d=$(mktemp -d); cd "$d"
ping -n -c 3 -i 0.05 127.0.0.1 | grep -q '3 received, 0% packet loss'
ping -n -c 3 -i 0.05 ::1 | grep -q '3 received, 0% packet loss'
ping -n -c 2 -i 0.05 -s 20000 127.0.0.1 | grep -q '2 received'
ping -n -c 1 -W 1 -t 5 127.8.9.10 | grep -q '1 received'
setpriv --reuid=65534 --regid=65534 --clear-groups ping -n -c 1 127.0.0.1 | grep -q '1 received'
traceroute -n 127.0.0.1 | grep -q '^ 1  127.0.0.1 '
traceroute -n -I 127.0.0.1 | grep -q '^ 1  127.0.0.1 '
traceroute -n -6 ::1 | grep -q '^ 1  ::1 '

ip -o link show lo | grep -q 'LOOPBACK,UP'
ip addr show dev lo | grep -q 'inet 127.0.0.1/8'
ip -6 addr show dev lo | grep -q '::1/128'
ip addr add 10.99.0.1/24 dev lo; ip addr show dev lo | grep -q 10.99.0.1/24
ping -n -c 1 10.99.0.1 | grep -q '1 received'
ip route get 10.99.0.1 | grep -q 'dev lo'
ip route add 10.98.0.0/16 dev lo; ip route show 10.98.0.0/16 | grep -q 'dev lo'; ip route del 10.98.0.0/16 dev lo
ip addr del 10.99.0.1/24 dev lo; if ip addr show dev lo | grep -q 10.99.0.1; then exit 1; fi
ip -j -s link show lo | python3 -c 'import json, sys; l = json.load(sys.stdin)[0]; assert l["stats64"]["rx"]["packets"] > 0'
ip neigh show >/dev/null
ifconfig lo | grep -q 127.0.0.1; netstat -rn >/dev/null

nc -l 127.0.0.1 8201 >got & listener=$!
for _ in $(seq 100); do ss -Htln 'sport = :8201' | grep -q LISTEN && break; sleep 0.05; done
netstat -tln | grep -q '127.0.0.1:8201'
ss -Htlnp 'sport = :8201' | grep -q "pid=$listener"
echo by nc | nc -N 127.0.0.1 8201; wait $listener; test "$(cat got)" = "by nc"
nc -u -l -W 1 127.0.0.1 8202 >got & listener=$!
for _ in $(seq 100); do ss -Huln 'sport = :8202' | grep -q UNCONN && break; sleep 0.05; done
echo datagram | nc -u -w 1 127.0.0.1 8202; wait $listener; test "$(cat got)" = datagram
if nc -z 127.0.0.1 8203; then exit 1; fi

head -c 3000000 /dev/urandom >blob
socat TCP-LISTEN:8204,bind=127.0.0.1,reuseaddr,fork EXEC:cat & relay=$!
socat UNIX-LISTEN:"$d/unix",fork TCP:127.0.0.1:8204 & second=$!
for _ in $(seq 100); do test -S unix && ss -Htln 'sport = :8204' | grep -q LISTEN && break; sleep 0.05; done
socat -t 20 - UNIX-CONNECT:"$d/unix" <blob >got; cmp blob got
socat -t 20 - TCP:127.0.0.1:8204 <blob >got; cmp blob got
echo -n ping | socat -T 5 - UDP6-SENDTO:[::1]:8205 & sender=$!; wait $sender || true
kill $relay $second; wait $relay $second 2>/dev/null || true

iperf3 -s -p 8206 --pidfile "$d/iperf.pid" >/dev/null 2>&1 & server=$!
for _ in $(seq 100); do ss -Htln 'sport = :8206' | grep -q LISTEN && break; sleep 0.05; done
run() { iperf3 -p 8206 -J "$@" >json || { cat json; return 1; }; python3 - "$@" <<'P'
import json, sys
end = json.load(open("json"))["end"]
got = end.get("sum_received", end.get("sum"))
assert got["bytes"] > 0, got
P
}
run -c 127.0.0.1 -n 20M; run -c 127.0.0.1 -n 20M -R; run -c ::1 -n 20M -P 4; run -c 127.0.0.1 -n 20M --bidir
run -c 127.0.0.1 -u -b 20M -t 1; run -c 127.0.0.1 -n 10M -Z; run -c 127.0.0.1 -n 10M -C cubic -M 1000
kill $server; wait $server || true
cd /; rm -r "$d"
