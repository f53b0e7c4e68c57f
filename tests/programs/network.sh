# Servers and clients over the loopback: redis by TCP, Python's HTTP server, asyncio, UDP; what `ip`-like calls tell.
set -eu
d=$(mktemp -d); cd "$d"
redis-server --port 7379 --bind 127.0.0.1 ::1 --dir "$d" --save '' --daemonize no >log 2>&1 & server=$!
for i in $(seq 200); do redis-cli -p 7379 ping 2>/dev/null | grep -q PONG && break; sleep 0.05; done
cli() { redis-cli -p 7379 "$@"; }
test "$(cli set key value)" = OK; test "$(redis-cli -h ::1 -p 7379 get key)" = value
redis-benchmark -p 7379 -q -n 2000 -c 20 -t set,get >/dev/null
cli shutdown nosave || true
wait $server
head -c 3000000 /dev/urandom >file
python3 - <<'PY'
import asyncio, hashlib, http.client, http.server, os, socket, threading, urllib.request

class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *a): pass
for family, host, url in ((socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")):
    class Server(http.server.ThreadingHTTPServer):
        address_family = family
    with Server((host, 0), Handler) as s:
        threading.Thread(target=s.serve_forever, daemon=True).start()
        port = s.server_address[1]
        want = hashlib.sha256(open("file", "rb").read()).digest()
        for _ in range(3):
            got = urllib.request.urlopen(f"http://{url}:{port}/file").read()
            assert hashlib.sha256(got).digest() == want
        c = http.client.HTTPConnection(host, port)
        c.request("GET", "/nosuch"); assert c.getresponse().status == 404
        s.shutdown()

async def main():
    async def echo(reader, writer):
        while data := await reader.read(65536):
            writer.write(data); await writer.drain()
        writer.close()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async def client(n):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        blob = os.urandom(200000 + n)
        async def push():
            writer.write(blob); await writer.drain(); writer.write_eof()
        task = asyncio.create_task(push())
        assert await reader.read(-1) == blob
        await task; writer.close()
    await asyncio.gather(*(client(n) for n in range(20)))
asyncio.run(main())

a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); a.bind(("127.0.0.1", 0))
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(100): b.sendto(b"%d" % i, a.getsockname())
assert [a.recv(100) for i in range(100)] == [b"%d" % i for i in range(100)]
assert (1, "lo") in socket.if_nameindex()
PY
cd /; rm -r "$d"
