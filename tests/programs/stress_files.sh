# root: files
# stress-ng's classes of files and pipes, one second each, with its own checks.
set -eu
d=$(mktemp -d); cd "$d"
for s in access chdir chmod chown copy-file dentry dir dirdeep dirmany dup fallocate fcntl fiemap file-ioctl filename flock fstat \
  getdent hdd inotify io iomix link lockf lockofd mknod mmapfork open readahead rename revio seek sendfile splice \
  symlink sync-file tee touch unlink utime vm-splice xattr pipe pipeherd fifo eventfd epoll poll aio sigpipe sockpair tmpfile; do
  timeout -s KILL 60 stress-ng --temp-path "$d" --"$s" 1 --timeout 1 --verify --oomable -q >log 2>&1 && continue
  code=$?
  # 3: not for this system; 4: nothing to do it with
  case $code in 1) if grep -q 'unrecognized option' log; then continue; fi;; 3|4) continue;; esac
  echo "stress-ng --$s: $code"; tail -5 log; exit 1
done
cd /; rm -r "$d"
