# root: network
# sshd and ssh: a command, a terminal, scp, sftp, forwarded ports both ways, a shared connection.
set -eu
d=$(mktemp -d); cd "$d"; chmod 700 "$d"
ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f key
cp key.pub authorized
mkdir -p /run/sshd
cat >sshd_config <<S
Port 8022
ListenAddress 127.0.0.1
ListenAddress ::1
HostKey $d/host
AuthorizedKeysFile $d/authorized
PidFile $d/pid
StrictModes no
UsePAM no
PermitRootLogin yes
Subsystem sftp internal-sftp
S
/usr/sbin/sshd -D -e -f sshd_config 2>sshd.log & server=$!
o="-F none -i $d/key -p 8022 -o StrictHostKeyChecking=no -o UserKnownHostsFile=$d/known -o LogLevel=ERROR"
for _ in $(seq 100); do ssh $o 127.0.0.1 true 2>/dev/null && break; sleep 0.1; done
test "$(ssh $o root@127.0.0.1 echo there)" = there
test "$(ssh $o root@::1 'echo $SSH_CONNECTION' | cut -d' ' -f1)" = ::1
if ssh $o 127.0.0.1 'exit 7'; then exit 1; else test $? = 7; fi
# A terminal: it has a name, a size and echoes.
ssh -tt $o 127.0.0.1 'tty; stty size; exit 0' </dev/null >terminal.log; grep -q /dev/pts/ terminal.log
head -c 8000000 /dev/urandom >blob
ssh $o 127.0.0.1 cat <blob >back; cmp blob back; rm back
scp -q ${o/-p 8022/-P 8022} blob "127.0.0.1:$d/copied"; cmp blob copied; rm copied
printf 'put blob %s/second\nls -l %s\nget %s/second third\n' "$d" "$d" "$d" | sftp -q ${o/-p 8022/-P 8022} -b - 127.0.0.1 >/dev/null; cmp blob third
# Forwarding: -L, -R and -D over one master connection.
python3 -m http.server --bind 127.0.0.1 8023 >/dev/null 2>&1 & web=$!
ssh $o -M -S "$d/master" -f -N -L 8024:127.0.0.1:8023 -R 8025:127.0.0.1:8023 -D 8026 127.0.0.1
for _ in $(seq 100); do curl -s -o /dev/null http://127.0.0.1:8023/ && break; sleep 0.05; done
for via in "http://127.0.0.1:8024" "http://127.0.0.1:8025" "-x socks5h://127.0.0.1:8026 http://127.0.0.1:8023"; do
  curl -sS -o got $via/blob; cmp got blob
done
test "$(ssh $o -S "$d/master" 127.0.0.1 echo shared)" = shared
ssh $o -S "$d/master" -O exit 127.0.0.1 2>/dev/null
kill $web; kill $server; wait $server || true
cd /; rm -r "$d"
