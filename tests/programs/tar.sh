set -eu
d=$(mktemp -d); cd "$d"
cp -a /usr/include/linux tree
for z in '' z j J; do
  tar -c${z}f a.tar tree; mkdir out; tar -C out -x${z}f a.tar; diff -r tree out/tree; rm -r out a.tar
done
cd /; rm -r "$d"
