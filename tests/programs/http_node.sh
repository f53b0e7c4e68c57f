# root: full
# node's HTTP servers and clients: keep-alive, a big body each way, TLS, many at once, a server that is closed under a client.
set -eu
d=$(mktemp -d); cd "$d"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
cat >a.js <<'JS'
const http = require('http'), https = require('https'), fs = require('fs'), crypto = require('crypto'), assert = require('assert');
const body = crypto.randomBytes(3000000);
const hash = b => crypto.createHash('sha256').update(b).digest('hex');
function handler(request, response) {
  const chunks = [];
  request.on('data', c => chunks.push(c)).on('end', () => {
    const got = Buffer.concat(chunks);
    if (request.url === '/echo') return response.end(got);
    response.setHeader('port', request.socket.remotePort);
    response.end('hello');
  });
}
function call(module, options, data) {
  return new Promise((resolve, reject) => {
    const request = module.request(options, response => {
      const chunks = [];
      response.on('data', c => chunks.push(c)).on('end', () => resolve({ response, body: Buffer.concat(chunks) }));
    }).on('error', reject);
    request.end(data);
  });
}
const listen = (server, ...where) => new Promise(resolve => server.listen(...where, () => resolve(server.address().port)));
(async () => {
  const plain = http.createServer(handler), six = http.createServer(handler);
  const tls = https.createServer({ key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem') }, handler);
  const port = await listen(plain, 0, '127.0.0.1'), port6 = await listen(six, 0, '::1'), secure = await listen(tls, 0, '127.0.0.1');
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const first = await call(http, { port, host: '127.0.0.1', agent }), second = await call(http, { port, host: '127.0.0.1', agent });
  assert.equal(first.response.headers.port, second.response.headers.port);
  for (const host of [['127.0.0.1', port], ['::1', port6]])
    assert.equal(hash((await call(http, { host: host[0], port: host[1], path: '/echo', method: 'POST' }, body)).body), hash(body));
  const ca = fs.readFileSync('cert.pem');
  assert.equal(hash((await call(https, { host: '127.0.0.1', port: secure, path: '/echo', method: 'POST', ca }, body)).body), hash(body));
  const many = await Promise.all(Array.from({ length: 200 }, () => call(http, { host: '127.0.0.1', port })));
  assert(many.every(m => m.body.toString() === 'hello'));
  agent.destroy();
  await new Promise(resolve => { plain.close(resolve); plain.closeAllConnections(); });
  await assert.rejects(call(http, { host: '127.0.0.1', port }), e => e.code === 'ECONNREFUSED');
  six.close(); tls.close(); console.log('all');
})().catch(e => { console.error(e); process.exit(1); });
JS
test "$(timeout 60 node a.js)" = all
cd /; rm -r "$d"
