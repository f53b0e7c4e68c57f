# root: full
set -eu
d=$(mktemp -d); cd "$d"
cat >a.js <<'JS'
const { Worker, isMainThread, parentPort } = require('worker_threads');
const { execFileSync } = require('child_process');
const fs = require('fs'), net = require('net'), crypto = require('crypto');
if (!isMainThread) { parentPort.postMessage(42); } else {
  if (execFileSync('echo', ['hi']).toString() !== 'hi\n') process.exit(1);
  fs.writeFileSync('f', 'x'.repeat(1e6));
  fs.promises.readFile('f').then(b => { if (b.length !== 1e6) process.exit(2); });
  crypto.pbkdf2('a', 'b', 1000, 32, 'sha256', e => { if (e) process.exit(3); });
  const server = net.createServer(c => c.pipe(c)).listen('sock', () => {
    const client = net.connect('sock', () => client.write('ping'));
    client.on('data', d => { if (d.toString() !== 'ping') process.exit(4); client.end(); server.close(); });
  });
  new Worker(__filename).on('message', m => { if (m !== 42) process.exit(5); console.log('all'); });
}
JS
test "$(timeout 60 node a.js)" = all
cd /; rm -r "$d"
