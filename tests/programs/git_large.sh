# A tree of 10,000 files: status, commit, clone, gc, checkout.
set -eu
d=$(mktemp -d); cd "$d"
export HOME=$d GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git config --global gc.auto 0
git init -q tree; cd tree
for i in $(seq 100); do
  mkdir "d$i"
  (cd "d$i"; for j in $(seq 100); do echo "$i $j" >"f$j"; done)
done
git add .; git commit -qm one
[ "$(git ls-files | wc -l)" = 10000 ]
[ -z "$(git status --porcelain)" ]
echo x >>d7/f9; rm d8/f1; echo new >d9/new
[ "$(git status --porcelain | wc -l)" = 3 ]
git add -A; git commit -qm two
git checkout -q HEAD~1; [ -e d8/f1 ]; git checkout -q -
git gc -q; git fsck --no-progress
cd ..
git clone -q tree copy
[ "$(cd copy && git ls-files | wc -l)" = 10000 ]
diff -r --exclude=.git tree copy
git clone -q --bare file://"$d"/tree bare.git
(cd copy && git reset -q --hard HEAD~1 && git clean -qfdx && [ -z "$(git status --porcelain)" ])
cd /; rm -rf "$d"
