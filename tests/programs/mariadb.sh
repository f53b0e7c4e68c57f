# root: network
# MariaDB over TCP and its Unix socket: a new data directory, transactions, a dump, mysqlslap's clients.
set -eu
d=$(mktemp -d); chmod 755 "$d"; cd "$d"
chown mysql: "$d"
mariadb-install-db --no-defaults --user=mysql --datadir="$d/data" --auth-root-authentication-method=normal >install.log 2>&1
mariadbd --no-defaults --user=mysql --datadir="$d/data" --bind-address=127.0.0.1 --port=8306 --socket="$d/sock" --pid-file="$d/pid" \
  --innodb-buffer-pool-size=32M >server.log 2>&1 & server=$!
sql() { mariadb --no-defaults -h 127.0.0.1 -P 8306 --protocol=tcp -u root -N -B "$@"; }
for _ in $(seq 300); do sql -e 'select 1' >/dev/null 2>&1 && break; sleep 0.1; done
sql -e 'create database d; create table d.t (a int primary key auto_increment, b varchar(100)) engine=innodb'
for i in $(seq 20); do echo "begin; insert into d.t (b) values ('one $i'), ('two $i'); commit;"; done | sql
sql -e "start transaction; delete from d.t; rollback"
test "$(sql -e 'select count(*) from d.t')" = 40
test "$(mariadb --no-defaults -S "$d/sock" -u root -N -B -e 'select count(*) from d.t')" = 40
mariadb-dump --no-defaults -h 127.0.0.1 -P 8306 --protocol=tcp -u root d >dump.sql
sql -e 'create database e'; sql e <dump.sql
test "$(sql -e 'checksum table d.t' | cut -f2)" = "$(sql -e 'checksum table e.t' | cut -f2)"
mariadb-slap --no-defaults -h 127.0.0.1 -P 8306 --protocol=tcp -u root --auto-generate-sql --concurrency=10 --number-of-queries=400 >slap.log
kill $server; wait $server || true
grep -q 'Shutdown complete' server.log
cd /; rm -r "$d"
