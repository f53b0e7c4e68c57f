set -eu
d=$(mktemp -d); cd "$d"; export HOME=$d
git config --global user.email a@b; git config --global user.name n; git config --global init.defaultBranch main
git init -q one; cd one
for i in $(seq 20); do echo $i >file-$i; git add .; git commit -qm "commit $i"; done
cd ..; git clone -q one two; cd two
test "$(git log --oneline | wc -l)" = 20
git checkout -qb branch; echo more >>file-1; git commit -qam more; git push -q origin branch
cd ../one; git merge -q branch; grep -q more file-1
git gc -q; git fsck --no-progress
cd /; rm -rf "$d"
