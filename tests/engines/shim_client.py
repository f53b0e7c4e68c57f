"""Speaks ttrpc with a shim, as containerd does: for what containerd's own commands cannot ask. The messages come from the shim's
own .proto files, compiled by protoc (Debian's python3-protobuf reads them)."""
import importlib
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
REQUEST, RESPONSE = 1, 2


class CallError(Exception):
    def __init__(self, code, message):
        super().__init__(f"code {code}: {message}")
        self.code, self.message = code, message


def messages(directory):
    """The modules of task.proto and metrics.proto, compiled into this directory."""
    found = {}
    for name in ("task", "metrics"):
        subprocess.run(["protoc", f"--proto_path={ROOT}/src/shim/proto", f"--python_out={directory}", f"{name}.proto"], check=True)
    sys.path.insert(0, str(directory))
    try:
        for name in ("task", "metrics"):
            sys.modules.pop(f"{name}_pb2", None)
            found[name] = importlib.import_module(f"{name}_pb2")
    finally:
        sys.path.remove(str(directory))
    return found


def frame(stream, kind, payload):
    return struct.pack(">IIBB", len(payload), stream, kind, 0) + payload


def read_exactly(connection, count):
    out = b""
    while len(out) < count:
        part = connection.recv(count - len(out))
        if not part:
            raise EOFError("the connection ended")
        out += part
    return out


def read_frame(connection):
    length, stream, kind, flags = struct.unpack(">IIBB", read_exactly(connection, 10))
    return stream, kind, flags, read_exactly(connection, length)


class Client:
    """One connection; calls may wait beside each other."""

    def __init__(self, path, task_messages, service="containerd.task.v2.Task"):
        self.m, self.service = task_messages, service
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(str(path))
        self.connection.settimeout(60)
        self.stream = -1
        self.answers, self.lock = {}, threading.Lock()

    def close(self):
        self.connection.close()

    def send(self, method, request):
        self.stream += 2
        call = self.m.Request(service=self.service, method=method, payload=request.SerializeToString())
        self.connection.sendall(frame(self.stream, REQUEST, call.SerializeToString()))
        return self.stream

    def receive(self, stream, answer):
        while stream not in self.answers:
            number, kind, _, payload = read_frame(self.connection)
            self.answers[number] = self.m.Response.FromString(payload)
        response = self.answers.pop(stream)
        if response.status.code:
            raise CallError(response.status.code, response.status.message)
        return answer.FromString(response.payload)

    def call(self, method, request, answer=None):
        return self.receive(self.send(method, request), answer or self.m.ShutdownRequest)  # an empty answer is a message of anything


class EventListener:
    """Serves the events' service on a socket, in place of containerd. Keeps (topic, type, encoded event)."""

    def __init__(self, path, task_messages):
        self.m, self.events, self.connections = task_messages, [], []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            while True:
                stream, _, _, payload = read_frame(connection)
                request = self.m.Request.FromString(payload)
                envelope = self.m.ForwardRequest.FromString(request.payload).envelope
                self.events.append((envelope.topic, envelope.event.type_url, envelope.event.value, envelope.namespace))
                connection.sendall(frame(stream, RESPONSE, self.m.Response().SerializeToString()))
        except (EOFError, OSError):
            connection.close()

    def topics(self):
        return [e[0] for e in self.events]

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # so that accept() ends
        self.listener.close()
        for connection in self.connections:
            connection.close() if connection.fileno() < 0 else connection.shutdown(socket.SHUT_RDWR)
