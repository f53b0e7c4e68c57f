# What looks at the system sees the sandbox.
set -eu
ps -ef | grep -q '[p]s -ef'
ps aux >/dev/null; free >/dev/null; uptime >/dev/null
sleep 100 & p=$!
pgrep -x sleep | grep -qx $p
test "$(ps -o comm= -p $p)" = sleep
kill $p; wait $p || test $? = 143
top -b -n1 >/dev/null
