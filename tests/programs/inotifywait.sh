# root: files
set -eu
d=$(mktemp -d); cd "$d"
mkdir w
inotifywait -q -m -r --format '%e %w%f' w >log & watcher=$!
trap 'kill $watcher' EXIT
for i in $(seq 100); do grep -qs inotify /proc/$watcher/fdinfo/* && break; sleep 0.1; done
wait_for() { for i in $(seq 100); do grep -qxF "$1" log && return; sleep 0.1; done; echo "not seen: $1"; cat log; exit 1; }
echo x >w/f; wait_for 'CREATE w/f'; wait_for 'CLOSE_WRITE,CLOSE w/f'
mkdir w/sub; wait_for 'CREATE,ISDIR w/sub'
for i in $(seq 100); do echo y >w/sub/probe; grep -q 'w/sub/probe' log && break; sleep 0.1; done
mv w/f w/sub/g; wait_for 'MOVED_FROM w/f'; wait_for 'MOVED_TO w/sub/g'
chmod 600 w/sub/g; wait_for 'ATTRIB w/sub/g'
rm w/sub/g; wait_for 'DELETE w/sub/g'
rm -r w/sub; wait_for 'DELETE,ISDIR w/sub'
! inotifywait -q -t 1 -e create w
(sleep 0.3; touch w/late) & inotifywait -q -t 30 -e create w >/dev/null
cd /; rm -r "$d"
