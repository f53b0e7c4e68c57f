# Shell features: pipelines, substitution, here-documents, jobs, traps, arrays, process substitution.
set -eu
test "$(printf 'b\na\nc\n' | sort | head -1)" = a
test "$(cat <<X
here $((6 * 7))
X
)" = "here 42"
sleep 0.1 & job=$!
wait $job
trap 'echo trapped' USR1
test "$( (trap 'echo trapped' USR1; kill -USR1 $BASHPID; true) )" = trapped
declare -A map=([one]=1 [two]=2)
test $((map[one] + map[two])) = 3
test "$(diff <(seq 3) <(seq 4) | tail -1)" = "> 4"
set +e
false | true
test "${PIPESTATUS[0]}" = 1 || exit 1
(exit 7)
test $? = 7 || exit 1
timeout 0.2 sleep 10
test $? = 124 || exit 1
exit 0
