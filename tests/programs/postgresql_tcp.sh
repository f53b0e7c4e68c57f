# root: network
# PostgreSQL over TCP, both address families, with TLS: psql, pgbench with several clients, LISTEN/NOTIFY, a cancelled query.
set -eu
d=$(mktemp -d); chmod 755 "$d"; cd "$d"
bin=$(ls -d /usr/lib/postgresql/*/bin); chown postgres: "$d"
as() { setpriv --reuid=postgres --regid=postgres --clear-groups env PATH="$bin:$PATH" HOME="$d" "$@"; }
as initdb -D data -A trust >/dev/null
as openssl req -x509 -newkey rsa:2048 -nodes -keyout data/server.key -out data/server.crt -days 2 -subj /CN=localhost 2>/dev/null; chmod 600 data/server.key
as postgres -D data -p 8432 -c listen_addresses=127.0.0.1,::1 -c unix_socket_directories="$d" -c ssl=on -c fsync=off >log 2>&1 & server=$!
for _ in $(seq 200); do as pg_isready -q -h 127.0.0.1 -p 8432 && break; sleep 0.1; done
sql() { as psql -p 8432 -At -v ON_ERROR_STOP=1 "$@" postgres; }
test "$(sql -h 127.0.0.1 -c 'select 6 * 7')" = 42
test "$(sql -h ::1 -c 'select host(inet_client_addr())')" = ::1
test "$(as env PGSSLMODE=require psql -h localhost -p 8432 -At -c 'select ssl from pg_stat_ssl where pid = pg_backend_pid()' postgres)" = t
as pgbench -h 127.0.0.1 -p 8432 -i -s 2 -q postgres 2>/dev/null
as env PGSSLMODE=disable pgbench -h 127.0.0.1 -p 8432 -c 8 -j 2 -t 50 postgres >bench.log 2>&1; grep -q 'number of failed transactions: 0' bench.log
test "$(sql -h 127.0.0.1 -c 'select count(*) from pgbench_history')" = 400
if sql -h 127.0.0.1 -c "set statement_timeout = '200ms'" -c 'select pg_sleep(30)' 2>/dev/null; then exit 1; fi
sql -h 127.0.0.1 -c 'select pg_sleep(60)' >/dev/null 2>cancelled.log & query=$!
for _ in $(seq 100); do test "$(sql -h 127.0.0.1 -c "select count(pg_cancel_backend(pid)) from pg_stat_activity where query = 'select pg_sleep(60)'")" = 1 && break; sleep 0.05; done
wait $query && exit 1; grep -q 'canceling statement' cancelled.log
as pg_dump -h ::1 -p 8432 postgres >dump.sql; grep -q pgbench_accounts dump.sql
kill -INT "$(head -1 data/postmaster.pid)"; wait $server
cd /; rm -r "$d"
