# root: network
# unbound answers dig by UDP and TCP, both address families; big answers by EDNS, truncated ones by TCP; nobody there is told.
set -eu
d=$(mktemp -d); chmod 755 "$d"; cd "$d"
{
  printf 'server:\n interface: 127.0.0.1@8053\n interface: ::1@8053\n access-control: 127.0.0.0/8 allow\n access-control: ::1 allow\n'
  printf ' do-daemonize: no\n username: ""\n chroot: ""\n directory: "%s"\n pidfile: "%s/pid"\n use-syslog: no\n logfile: ""\n num-threads: 2\n' "$d" "$d"
  printf ' local-zone: "test." static\n local-data: "host.test. A 10.1.2.3"\n local-data: "host.test. AAAA fd00::3"\n'
  for i in $(seq 60); do printf ' local-data: '"'"'big.test. TXT "%s-%060d"'"'"'\n' "$i" "$i"; done
  printf 'remote-control:\n control-enable: no\n'
} >conf
unbound -c conf >log 2>&1 & server=$!
q() { dig -p 8053 +tries=2 +time=5 +noall +answer +short "$@"; }
for _ in $(seq 100); do test "$(q @127.0.0.1 host.test A +time=1 +tries=1)" = 10.1.2.3 && break; sleep 0.1; done
for server_address in 127.0.0.1 ::1; do
  test "$(q @$server_address host.test A)" = 10.1.2.3
  test "$(q @$server_address host.test AAAA)" = fd00::3
  test "$(q @$server_address host.test A +tcp)" = 10.1.2.3
  test "$(q @$server_address big.test TXT +tcp | wc -l)" = 60
  test "$(q @$server_address big.test TXT +bufsize=512 | wc -l)" = 60
done
dig -p 8053 @127.0.0.1 big.test TXT +ignore +bufsize=512 +noall +comments | grep -q 'flags:.* tc'
dig -p 8053 @127.0.0.1 none.test +noall +comments | grep -q NXDOMAIN
for i in $(seq 100); do q @127.0.0.1 host.test A & done >many; wait $(jobs -p | grep -v "^$server\$"); test "$(sort -u many)" = 10.1.2.3; test "$(wc -l <many)" = 100
dig -p 8054 @127.0.0.1 host.test +tries=1 +time=2 >refused || true; grep -q 'refused' refused
kill $server; wait $server || true
cd /; rm -r "$d"
