# Threads, processes, pipes, sockets, signals, files.
set -eu
exec python3 - <<'PY'
import multiprocessing, os, queue, select, signal, socket, subprocess, sys, tempfile, threading, time

total = 0
lock = threading.Lock()
def work():
    global total
    for _ in range(1000):
        with lock:
            total += 1
threads = [threading.Thread(target=work) for _ in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
assert total == 8000

q = queue.Queue()
threading.Thread(target=lambda: [q.put(i) for i in range(100)]).start()
assert sum(q.get(timeout=5) for _ in range(100)) == 4950

assert subprocess.run(["echo", "hi"], capture_output=True, text=True).stdout == "hi\n"
p = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
assert p.communicate(b"x" * 200000)[0] == b"x" * 200000
try:
    subprocess.run(["sleep", "10"], timeout=0.1)
    raise SystemExit("no time-out")
except subprocess.TimeoutExpired:
    pass

def square(n):
    return n * n
if True:
    context = multiprocessing.get_context("fork")
    with context.Pool(3) as pool:
        assert pool.map(square, range(50)) == [n * n for n in range(50)]
    shared = context.Value("i", 0)
    def add():
        for _ in range(200):
            with shared.get_lock():
                shared.value += 1
    children = [context.Process(target=add) for _ in range(4)]
    [c.start() for c in children]
    [c.join() for c in children]
    assert shared.value == 800 and all(c.exitcode == 0 for c in children)

got = []
signal.signal(signal.SIGALRM, lambda *a: got.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.05)
time.sleep(0.2)
assert got == [1]

with tempfile.TemporaryDirectory() as d:
    path = os.path.join(d, "socket")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    peer, _ = server.accept()
    client.sendall(b"hello")
    assert select.select([peer], [], [], 5)[0] == [peer]
    assert peer.recv(10) == b"hello"
    with open(os.path.join(d, "f"), "w") as f:
        f.write("text\n" * 10000)
    assert os.stat(os.path.join(d, "f")).st_size == 50000
    assert sorted(os.listdir(d)) == ["f", "socket"]

import asyncio
async def main():
    process = await asyncio.create_subprocess_exec("echo", "async", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert out == b"async\n"
    await asyncio.gather(*(asyncio.sleep(0.05) for _ in range(100)))
asyncio.run(main())
import sqlite3
db = sqlite3.connect(":memory:")
assert db.execute("select 6*7").fetchone() == (42,)
PY
