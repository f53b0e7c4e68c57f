# A shell on a pseudo-terminal.
set -eu
out=$(script -qec 'tty; stty size; echo done' /dev/null)
echo "$out" | grep -q /dev/pts/
echo "$out" | grep -q done
