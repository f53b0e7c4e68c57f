# A lot of bytes through pipes, many short processes, background jobs.
set -eu
test "$(head -c 50000000 /dev/zero | tr '\0' x | gzip -1 | gzip -d | wc -c)" = 50000000
for i in $(seq 200); do /bin/true; done
for i in $(seq 50); do (sleep 0.05; echo $i) & done | sort -n | tail -1 | grep -qx 50
wait
yes | head -100000 | wc -l | grep -qx 100000
seq 100000 | awk '{ s += $1 } END { print s }' | grep -qx 5000050000
seq 100 | xargs -P4 -n1 sh -c 'exit 0'
