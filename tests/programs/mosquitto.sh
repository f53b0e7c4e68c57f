# root: network
# An MQTT broker and its clients: retained messages, wildcards, quality of service 2, a last will, many messages.
set -eu
d=$(mktemp -d); chmod 755 "$d"; cd "$d"
printf 'listener 8884 127.0.0.1\nallow_anonymous true\nuser root\n' >conf
mosquitto -c conf >log 2>&1 & server=$!
p="-h 127.0.0.1 -p 8884"
for _ in $(seq 100); do mosquitto_pub $p -t up -m x 2>/dev/null && break; sleep 0.05; done
mosquitto_pub $p -t kept/one -m first -r -q 1
test "$(mosquitto_sub $p -t 'kept/+' -C 1 -W 10)" = first
mosquitto_sub $p -t 'many/#' -q 2 -C 500 -W 30 >got & subscriber=$!
for _ in $(seq 100); do ss -tn state established '( sport = :8884 )' | grep -q 8884 && break; sleep 0.05; done; sleep 0.3
seq 500 | mosquitto_pub $p -t many/x -q 2 -l
wait $subscriber; seq 500 | cmp - got
mosquitto_sub $p -t will/x -C 1 -W 20 >will & waiter=$!; sleep 0.3
mosquitto_sub $p -t nothing -k 5 --will-topic will/x --will-payload gone & dying=$!; sleep 0.3
kill -KILL $dying; wait $dying 2>/dev/null || true
wait $waiter; test "$(cat will)" = gone
kill $server; wait $server || true
cd /; rm -r "$d"
