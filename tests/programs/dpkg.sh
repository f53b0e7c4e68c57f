# root: files
# A package of our own: built, installed, configured, upgraded, removed; and apt over a local repository.
set -eu
export DEBIAN_FRONTEND=noninteractive
d=$(mktemp -d); cd "$d"
make_package() {  # NAME VERSION DEPENDS
  mkdir -p "$1/DEBIAN" "$1/usr/share/$1" "$1/etc"
  printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: test\nDepends: %s\n' "$1" "$2" "${3:-}" |
    sed '/^Depends: $/d' >"$1/DEBIAN/control"
  for i in $(seq 50); do echo "$2 $i" >"$1/usr/share/$1/f$i"; done
  echo "setting=$2" >"$1/etc/$1.conf"
  echo "/etc/$1.conf" >"$1/DEBIAN/conffiles"
  printf '#!/bin/sh\necho "$1 $2" >>/var/log/%s.log\n' "$1" >"$1/DEBIAN/postinst"
  chmod 755 "$1/DEBIAN/postinst"
  dpkg-deb --root-owner-group -b "$1" "pool/$1_$2_all.deb" >/dev/null
}
mkdir pool
make_package base-thing 1.0
dpkg -i pool/base-thing_1.0_all.deb
[ "$(dpkg-query -W -f '${Status} ${Version}' base-thing)" = "install ok installed 1.0" ]
[ "$(cat /usr/share/base-thing/f50)" = "1.0 50" ]
grep -q '^configure' /var/log/base-thing.log
echo changed >/etc/base-thing.conf
make_package base-thing 2.0
dpkg --force-confold -i pool/base-thing_2.0_all.deb
[ "$(cat /etc/base-thing.conf)" = changed ]
[ -e /etc/base-thing.conf.dpkg-dist ]
make_package top-thing 1.0 'base-thing (>= 2.0)'
dpkg --purge base-thing
[ ! -e /usr/share/base-thing ] && [ ! -e /etc/base-thing.conf ]
# apt resolves, fetches (file:), unpacks and configures both.
(cd pool && dpkg-scanpackages . /dev/null 2>/dev/null || apt-ftparchive packages . 2>/dev/null) >pool/Packages || true
if [ ! -s pool/Packages ]; then
  for p in pool/*.deb; do
    dpkg-deb -f "$p"; echo "Filename: ./$(basename "$p")"; echo "Size: $(stat -c %s "$p")"; echo "SHA256: $(sha256sum "$p" | cut -d' ' -f1)"; echo
  done >pool/Packages
fi
chmod -R a+rX "$d"
mkdir -p state/lists/partial cache/archives/partial
echo "deb [trusted=yes] file:$d/pool ./" >sources.list
o="-o Dir::Etc::sourcelist=$d/sources.list -o Dir::Etc::sourceparts=- -o Dir::State::lists=$d/state/lists -o Dir::Cache=$d/cache"
apt-get $o -q update
apt-get $o -q -y --no-install-recommends install top-thing
dpkg-query -W top-thing base-thing
[ "$(dpkg-query -W -f '${Version}' base-thing)" = 2.0 ]
apt-get $o -q -y purge top-thing base-thing
[ ! -e /usr/share/top-thing ]
dpkg --audit
cd /; rm -r "$d"
