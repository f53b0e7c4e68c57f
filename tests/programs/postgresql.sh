# root: files
# initdb, a server on a Unix socket, pgbench, crash recovery, dump and restore.
set -eu
b=$(echo /usr/lib/postgresql/*/bin)
d=$(mktemp -d); chown postgres "$d"; chmod 755 "$d"
as() { setpriv --reuid=postgres --regid=postgres --clear-groups env -i PATH="$b:/usr/bin:/bin" HOME="$d" "$@"; }
cd "$d"
as initdb -D data -A trust --no-locale -E UTF8 >initdb.log 2>&1 || { tail -5 initdb.log; exit 1; }
start() { as pg_ctl -D data -w -t 60 -l server.log -o "-k $d -c listen_addresses='' -c max_connections=20 -c shared_buffers=16MB" start >/dev/null || { tail -20 server.log; exit 1; }; }
start
as createdb -h "$d" t
as pgbench -h "$d" -i -s 1 -q t 2>/dev/null
as pgbench -h "$d" -c 4 -j 2 -t 50 -n t >bench.log 2>&1 || { cat bench.log; exit 1; }
grep -q 'number of transactions actually processed: 200/200' bench.log
grep -q 'number of failed transactions: 0' bench.log || { cat bench.log; exit 1; }
[ "$(as psql -h "$d" -Atc 'select count(*) from pgbench_accounts' t)" = 100000 ]
sum=$(as psql -h "$d" -Atc 'select sum(abalance) from pgbench_accounts' t)
# A crash: everything is killed, and recovered.
kill -9 "$(head -1 data/postmaster.pid)"; sleep 1
while pgrep -u postgres postgres >/dev/null; do sleep 0.2; done
start
[ "$(as psql -h "$d" -Atc 'select sum(abalance) from pgbench_accounts' t)" = "$sum" ]
as pg_dump -h "$d" -Fc -f t.dump t
as createdb -h "$d" u
as pg_restore -h "$d" -d u t.dump
[ "$(as psql -h "$d" -Atc 'select sum(abalance) from pgbench_accounts' u)" = "$sum" ]
as pg_ctl -D data -w -m fast stop >/dev/null
cd /; rm -r "$d"
