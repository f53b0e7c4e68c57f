# redis-server and redis-cli over a Unix socket, with a background save (fork).
set -eu
d=$(mktemp -d); cd "$d"
redis-server --port 0 --unixsocket "$d/sock" --dir "$d" --save '' --daemonize no >log 2>&1 & server=$!
for i in $(seq 100); do redis-cli -s "$d/sock" ping 2>/dev/null | grep -q PONG && break; sleep 0.05; done
cli() { redis-cli -s "$d/sock" "$@"; }
test "$(cli set key value)" = OK; test "$(cli get key)" = value
for i in $(seq 1000); do echo "lpush list $i"; done | cli --pipe >/dev/null 2>&1 || for i in $(seq 100); do cli lpush list $i >/dev/null; done
test "$(cli llen list)" -ge 100
cli bgsave >/dev/null
for i in $(seq 100); do test -s dump.rdb && break; sleep 0.05; done; test -s dump.rdb
cli shutdown nosave || true
wait $server
cd /; rm -r "$d"
