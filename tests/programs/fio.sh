# root: files
# Every engine verifies what it wrote; on the root and on a tmpfs.
set -eu
for place in /var/tmp /dev/shm; do
  d=$(mktemp -d -p $place); cd "$d"
  for engine in psync sync pvsync2 libaio mmap vsync; do
    for rw in write randwrite randrw; do
      fio --name=t --directory="$d" --ioengine=$engine --rw=$rw --size=4M --bs=4k --iodepth=8 --verify=crc32c --verify_fatal=1 \
        --do_verify=1 --randrepeat=1 --output=log --fallocate=posix || { echo "$engine $rw on $place"; tail -20 log; exit 1; }
      grep -q 'err= 0' log || { echo "$engine $rw on $place"; cat log; exit 1; }
      rm -f "$d"/t.*
    done
  done
  fio --name=p --directory="$d" --ioengine=psync --rw=randrw --size=2M --numjobs=4 --thread --verify=md5 --output=log --fsync=16 ||
    { tail -20 log; exit 1; }
  cd /; rm -r "$d"
done
