# root: files
set -eu
d=$(mktemp -d); cd "$d"
mkdir a; echo 1 >a/f; setfattr -n user.one -v 1 a/f; setfattr -n user.two -v "$(head -c 1000 /dev/zero | tr '\0' x)" a/f
truncate -s 20M a/sparse; for at in 0 5000000 19999999; do printf x | dd of=a/sparse bs=1 seek=$at conv=notrunc status=none; done
ln a/f a/hard; ln -s f a/soft; mkfifo a/p; mknod a/dev c 1 3; chown 12:34 a/f; chmod 2755 a; touch -d '1999-01-01 00:00:00.123456789' a/f
tar --xattrs --sparse --format=posix -cf t.tar a
[ "$(stat -c %s t.tar)" -lt 200000 ]
mkdir o; tar --xattrs --xattrs-include='*' -C o -xpf t.tar
[ "$(getfattr --only-values -n user.one o/a/f)" = 1 ]
[ "$(getfattr --only-values -n user.two o/a/f | wc -c)" = 1000 ]
cmp a/sparse o/a/sparse; [ "$(stat -c %b o/a/sparse)" -lt 200 ]
for f in f hard dev p; do [ "$(stat -c '%f %u %g %h %t %T %y' a/$f)" = "$(stat -c '%f %u %g %h %t %T %y' o/a/$f)" ]; done
[ "$(stat -c %i o/a/f)" = "$(stat -c %i o/a/hard)" ]
[ "$(stat -c %a o/a)" = 2755 ]
cp -a --sparse=always a c; cmp a/sparse c/sparse
cd /; rm -r "$d"
