# root: files
set -eu
d=$(mktemp -d); cd "$d"
cp -a /usr/share/perl a
ln -s missing a/link; ln a/link a/link2 2>/dev/null || true
mkfifo a/pipe; truncate -s 5M a/sparse; echo x | dd of=a/sparse bs=1 seek=3000000 conv=notrunc status=none
echo t >a/x; ln a/x a/y; chmod 4711 a/x; touch -d '2001-02-03 04:05:06.789' a/x
setfattr -n user.note -v value a/x
rsync -aHAXS a/ b/
[ "$(stat -c '%a %Y %h' b/x)" = "$(stat -c '%a %Y %h' a/x)" ]
[ "$(getfattr --only-values -n user.note b/x)" = value ]
[ "$(stat -c %b b/sparse)" -lt 200 ]
[ "$(readlink b/link)" = missing ] && [ -p b/pipe ]
diff -r --exclude=pipe --exclude=link --exclude=link2 a b
echo more >>a/x; rm a/y; mkdir a/new; echo n >a/new/n
rsync -aHAX --delete --itemize-changes a/ b/ | sort >log
grep -q 'deleting  *y' log; [ -e b/new/n ]
[ -z "$(rsync -aHAX --delete --itemize-changes --dry-run a/ b/)" ]
rsync -a --inplace --no-whole-file --checksum a/ b/
cd /; rm -r "$d"
