# Files by the tools that everybody uses.
set -eu
d=$(mktemp -d); cd "$d"
seq 1 1000 >numbers
test "$(wc -l <numbers)" = 1000
cp numbers copy; cmp numbers copy
mv copy moved; test ! -e copy
ln -s moved link; test "$(readlink link)" = moved
ln moved hard; test "$(stat -c %h moved)" = 2
chmod 640 moved; test "$(stat -c %a moved)" = 640
touch -d '2001-02-03 04:05:06 UTC' moved; test "$(stat -c %Y moved)" = 981173106
mkdir -p a/b/c; touch a/b/c/file
test "$(find a -type f)" = a/b/c/file
cp -a a copy-of-a; test -e copy-of-a/b/c/file
rm -r a copy-of-a
dd if=/dev/zero of=zeros bs=64K count=16 status=none
test "$(stat -c %s zeros)" = 1048576
test "$(sha256sum <numbers | cut -c1-16)" = "$(sort -n numbers | sha256sum | cut -c1-16)"
truncate -s 10 zeros; test "$(stat -c %s zeros)" = 10
head -c 100000 /dev/urandom | base64 | base64 -d | wc -c | grep -qx 100000
tac numbers | head -1 | grep -qx 1000
split -l 100 numbers part-; test "$(ls part-* | wc -l)" = 10
cat part-* | cmp - numbers
df . >/dev/null; du -s . >/dev/null
id -u | grep -qx 0
env -i A=1 env | grep -qx A=1
nproc | grep -qE '^[0-9]+$'
date +%s | grep -qE '^[0-9]{10}$'
rm -r "$d"
