set -eu
d=$(mktemp -d); cd "$d"
sqlite3 db 'pragma journal_mode=wal; create table t(a integer primary key, b text);' >/dev/null
(echo 'begin;'; for i in $(seq 1000); do echo "insert into t(b) values('row $i');"; done; echo 'commit;') | sqlite3 db
test "$(sqlite3 db 'select count(*), max(b) from t')" = '1000|row 999'
for i in 1 2 3 4; do sqlite3 -cmd '.timeout 10000' db "insert into t(b) values('p$i')" & done; wait
test "$(sqlite3 db 'select count(*) from t; pragma integrity_check;' | tr '\n' ' ')" = '1004 ok '
cd /; rm -r "$d"
