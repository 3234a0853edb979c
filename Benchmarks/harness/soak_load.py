"""The clients of a soak run: tasks at a steady rate to two nodes, somebody who reads and listens, and a receiver that sees what is
carried out. Each acknowledged task that calls the receiver must have been there in the end."""

import asyncio
import http.server
import random
import threading
import time

# One in ten calls the receiver. The others end in each way in which a task can.
MIX = [
    '{{"type": "WEBHOOK_CALL", "payload": {{"url": "{receiver}/{number}"}}, {tenacity}}}',
    '{{"type": "FAIL_SOMETIMES", "payload": {{"probability": 0}}, {tenacity}}}',
    '{{"type": "FAIL_SOMETIMES", "payload": {{"probability": 0}}, {tenacity}, "queue": "other", "priority": 9}}',
    '{{"type": "DELAYED_MESSAGE", "payload": {{"message": "so"}}, "delaySeconds": 2, {tenacity}}}',
    '{{"type": "FAIL_SOMETIMES", "payload": {{"probability": 0.5}}, {tenacity}}}',
    '{{"type": "FAIL_SOMETIMES", "payload": {{"probability": 1}}, "retries": 0}}',
    '{{"type": "FAIL_SOMETIMES", "payload": {{"probability": 0}}, {tenacity}, "idempotencyKey": "key-{number}"}}',
    '{{"type": "FAIL_SOMETIMES", "payload": {{"probability": 0, "text": "{text}"}}, {tenacity}}}',
    '{{"type": "FAIL_SOMETIMES", "payload": {{"probability": 0}}, {tenacity}, "concurrencyKey": "account-{account}"}}',
    '{{"type": "FAIL_SOMETIMES", "payload": {{"probability": 0}}, "expiresAt": "2999-01-01T00:00:00Z", {tenacity}}}',
]
TENACITY = '"leaseSeconds": 10, "retries": 50, "backoff": {"strategy": "fixed", "baseSeconds": 0.2, "jitter": 0}'


def task(number, receiver):
    return MIX[number % len(MIX)].format(
        receiver=receiver, number=number, account=number // len(MIX) % 40, text="x" * random.randint(10, 4000), tenacity=TENACITY)


class Receiver:
    """Answers 200 to everything and remembers what it was asked."""

    def __init__(self):
        seen = self.seen = set()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"] or 0))
                seen.add(int(self.path[1:]))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # who is killed in the middle of a call

        server = Server(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.address = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()


class Connection:
    """HTTP by hand: a request a time, opened anew where it broke."""

    def __init__(self):
        self.port = self.reader = self.writer = None

    async def call(self, port, method, target, body=""):
        """The status. Raises OSError where there is no answer."""
        try:
            if self.port != port or self.writer is None or self.writer.is_closing():
                self.close()
                self.reader, self.writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 10)
                self.port = port
            head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            self.writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            return await asyncio.wait_for(self.answer(), 30)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
            self.close()
            raise OSError(str(error)) from error

    async def answer(self):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        if "content-length:" in head:
            await self.reader.readexactly(int(head.split("content-length:")[1].split("\r\n")[0]))
        elif "chunked" in head:
            while size := int(await self.reader.readline(), 16):
                await self.reader.readexactly(size + 2)
            await self.reader.readline()
        if "connection: close" in head:
            self.close()
        return int(head.split(" ")[1])

    def close(self):
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None


class Load:
    def __init__(self, nodes, receiver):
        self.nodes, self.receiver = nodes, receiver
        self.next = 0
        self.acknowledged = self.refused = self.unknown = self.late = self.events = 0
        self.answers = {}
        # Numbers of acknowledged tasks that call the receiver.
        self.expected = set()

    async def submit(self, connections):
        number = self.next
        self.next += 1
        node = self.nodes[number // 7 % len(self.nodes)]
        if not node.is_up:
            node = self.nodes[0]
        try:
            status = await connections[node.name].call(node.port, "POST", "/tasks", task(number, self.receiver.address))
        except OSError:
            self.unknown += 1
            return
        self.answers[status] = self.answers.get(status, 0) + 1
        if status == 201:
            self.acknowledged += 1
            if number % len(MIX) == 0:
                self.expected.add(number)
        else:
            self.refused += 1

    async def client(self, interval, offset, goes_on):
        """A submission each `interval` seconds; what was missed while a node was away is not made up for."""
        connections = {node.name: Connection() for node in self.nodes}
        turn = time.monotonic() + offset
        while goes_on():
            await asyncio.sleep(max(0, turn - time.monotonic()))
            await self.submit(connections)
            turn += interval
            if interval and turn < time.monotonic() - 2:
                self.late += 1
                turn = time.monotonic()
        for connection in connections.values():
            connection.close()

    async def run(self, rate, clients, goes_on):
        """At a rate, or as fast as it goes where that is None."""
        interval = clients / rate if rate else 0
        await asyncio.gather(*(self.client(interval, i * interval / clients, goes_on) for i in range(clients)))

    async def read(self, goes_on):
        """What dashboards, scrapes and people ask."""
        targets = ["/metrics", "/stats", "/tasks?limit=100", "/tasks?status=DEAD&limit=50", "/workers", "/health/ready",
                   "/dead-letters", "/queues"]
        connections = {node.name: Connection() for node in self.nodes}
        number = 0
        while goes_on():
            node = self.nodes[number % len(self.nodes)]
            target = targets[number // len(self.nodes) % len(targets)]
            number += 1
            if node.is_up:
                try:
                    status = await connections[node.name].call(node.port, "GET", target)
                    self.answers[f"GET {status}"] = self.answers.get(f"GET {status}", 0) + 1
                except OSError:
                    pass
            await asyncio.sleep(0.5)

    async def listen(self, goes_on):
        """To the stream of the node that lives; comes back when it ends."""
        while goes_on():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.nodes[0].port, limit=1 << 20)
                writer.write(b"GET /events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
                while goes_on():
                    piece = await asyncio.wait_for(reader.read(1 << 16), 60)
                    if not piece:
                        break
                    self.events += piece.count(b"\nevent:")
                writer.close()
            except (OSError, asyncio.TimeoutError):
                pass
            await asyncio.sleep(0.5)

    def missing(self):
        """Acknowledged, and never carried out."""
        return sorted(self.expected - self.receiver.seen)

