"""Clients that mean no good, many of them: `attack.py PORT KIND COUNT [KEY=VALUE…]`.

Writes a line of JSON when all of them stand (`{"standing": …}`), and one when all of them are over: how many came through, what they
were answered, and how many the server closed. HostileTests of EndToEndTests starts it, several at once. Standard library only.

Each address of 127.0.0.0/8 has ports of its own, so that ports are not what ends first: `from=N` begins at the Nth of them.
"""

import asyncio
import collections
import json
import os
import resource
import ssl
import sys
import time

PORT, KIND, COUNT = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
OPTIONS = dict(argument.split("=", 1) for argument in sys.argv[4:])
# Seconds after which a client that nobody has closed gives up. It is the attacker's patience, not the server's limit.
PATIENCE = float(OPTIONS.get("patience", "300"))
BETWEEN = float(OPTIONS.get("between", "1"))
EACH = 10_000  # connections from one address

statuses = collections.Counter()
facts = collections.Counter()


def own_address(number):
    first = int(OPTIONS.get("from", "1"))
    return f"127.0.0.{1 + (first + number // EACH) % 254}"


def head(method="GET", path="/tasks", *fields):
    lines = [f"{method} {path} HTTP/1.1", f"Host: localhost:{PORT}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post(body, *fields):
    return head("POST", "/tasks", "Content-Type: application/json", f"Content-Length: {len(body)}", *fields) + body


async def answer(reader):
    """The status of one answer, which is read to its end; None where the server closes before it."""
    first = await reader.readline()
    if not first.startswith(b"HTTP/1."):
        return None
    status = first.split()[1].decode()
    length = 0
    while (line := await reader.readline()) not in (b"\r\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    if length:
        await reader.readexactly(length)
    return status


async def until_closed(reader):
    """Reads what the server still says. True where it closes in time."""
    try:
        async with asyncio.timeout(PATIENCE):
            while await reader.read(65536):
                pass
            return True
    except TimeoutError:
        return False
    except OSError:
        return True


async def drip(reader, writer, begin, pieces):
    """Says something every now and then, for as long as the server listens. What it answered is counted."""
    writer.write(begin)
    listening = asyncio.ensure_future(answer(reader))
    deadline = time.monotonic() + PATIENCE
    try:
        for piece in pieces:
            await asyncio.wait({listening}, timeout=BETWEEN)
            if listening.done() or time.monotonic() > deadline:
                break
            writer.write(piece)
            facts["pieces"] += 1
            await writer.drain()
    except OSError:
        pass
    try:
        async with asyncio.timeout(30):
            status = await listening
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        status = None
    return statuses.update([status or "closed without an answer"])


def endlessly(piece):
    while True:
        yield piece


async def one(number, reader, writer):
    """What a client of the chosen kind does with its connection; True where the server closes it."""
    match KIND:
        case "idle":
            pass
        case "head":  # a header that does not end
            begin = f"GET /tasks HTTP/1.1\r\nHost: localhost:{PORT}\r\nX-Slow: ".encode()
            await drip(reader, writer, begin, endlessly(b"x"))
        case "body":  # a body that takes a quarter of an hour
            begin = head("POST", "/tasks", "Content-Type: application/json", "Content-Length: 1000")
            await drip(reader, writer, begin, endlessly(b" "))
        case "chunks":  # the same in chunks
            begin = head("POST", "/tasks", "Content-Type: application/json", "Transfer-Encoding: chunked")
            await drip(reader, writer, begin, endlessly(b"1\r\n \r\n"))
        case "half-closed":  # says all it has to say, and hears the answer
            writer.write(head() if number % 2 else head("GET", "/tasks HTTP/1.1\r\nX-Unfinished: ")[:-4])
            writer.write_eof()
            statuses.update([await answer(reader) or "closed without an answer"])
        case "large-header":
            fields = [f"X-{n}: {'x' * 200}" for n in range(5000)] if number % 2 else ["X-Large: " + "x" * 1_000_000]
            await drip(reader, writer, head("GET", "/tasks", *fields), [])
        case "large-body":  # 100 MB, with its length told or not
            megabyte = b"[" * (1 << 20)
            if number % 2:
                begin = head("POST", "/tasks", "Content-Type: application/json", f"Content-Length: {100 << 20}")
            else:
                begin = head("POST", "/tasks", "Content-Type: application/json", "Transfer-Encoding: chunked")
                megabyte = b"100000\r\n" + megabyte + b"\r\n"
            writer.write(begin)
            listening = asyncio.ensure_future(answer(reader))
            try:
                for _ in range(100):
                    writer.write(megabyte)
                    facts["megabytes"] += 1
                    await writer.drain()
                    if listening.done():
                        break
            except OSError:
                pass
            try:
                statuses.update([await listening or "closed without an answer"])
            except OSError:
                statuses.update(["closed without an answer"])
        case "brackets":
            writer.write(post(b"[" * 511))
            statuses.update([await answer(reader)])
            writer.write(post(b'{"type":"a","payload":' + b"[" * 511 + b"]" * 511 + b"}"))
            statuses.update([await answer(reader)])
            return None
        case "pipelined":  # many requests in one breath
            requests = int(OPTIONS.get("requests", "200"))
            writer.write(head("GET", "/version") * requests)
            for _ in range(requests):
                statuses.update([await answer(reader)])
            return None
        case "deaf":  # asks and asks, and never reads
            for _ in range(int(OPTIONS.get("requests", "100000"))):
                writer.write(head("GET", "/openapi.json"))
            try:
                async with asyncio.timeout(PATIENCE):
                    await writer.drain()
                facts["all was taken"] += 1
            except (OSError, TimeoutError):
                facts["not all was taken"] += 1
            return None
        case "flood":  # as fast as it gets answers, for a while and until there were enough of them
            begin, least = time.monotonic(), int(OPTIONS.get("least", "0"))
            while (now := time.monotonic() - begin) < PATIENCE or statuses.total() < least and now < 600:
                writer.write(head("GET", "/tasks?limit=1") if number % 2 else post(b'{"type":"flood"}'))
                statuses.update([await answer(reader)])
            return None
        case "garbage":
            writer.write(os.urandom(2000))
            statuses.update([await answer(reader) or "closed without an answer"])
        case "handshake":  # begins to speak TLS, or only comes
            if number % 2:
                incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                hello = outgoing.read()
                writer.write(hello[: len(hello) // 2] if number % 4 == 1 else hello)
        case _:
            raise SystemExit(f"no such kind: {KIND}")
    return await until_closed(reader)


async def client(number, standing):
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", PORT, local_addr=(own_address(number), 0), limit=1 << 20)
    except OSError as error:
        facts[f"not connected: {error.strerror or error}"] += 1
        standing.release()
        return
    facts["connected"] += 1
    standing.release()
    try:
        closed = await one(number, reader, writer)
        facts[{True: "closed by the server", False: "left open by the server", None: "closed by the client"}[closed]] += 1
    except (OSError, asyncio.IncompleteReadError):
        facts["broken"] += 1
    finally:
        writer.close()


def knocking():
    """Connections that the server has not taken yet (`rx_queue` of a listening socket in proc(5))."""
    with open("/proc/net/tcp") as file:
        for line in file:
            fields = line.split()
            if fields[1].endswith(f":{PORT:04X}") and fields[3] == "0A":
                return int(fields[4].split(":")[1], 16)
    return 0


async def main():
    standing = asyncio.Semaphore(0)
    clients = []
    for number in range(COUNT):
        clients.append(asyncio.ensure_future(client(number, standing)))
        await standing.acquire()
        # Where the system's short queue for new connections overflows, a client takes itself for connected, and is not.
        while number % 50 == 49 and "crowd" not in OPTIONS and knocking() > 50:
            await asyncio.sleep(0.01)
    while "crowd" not in OPTIONS and knocking() > 0:
        await asyncio.sleep(0.01)
    print(json.dumps({"standing": facts["connected"]}), flush=True)
    await asyncio.gather(*clients)
    print(json.dumps({"kind": KIND, "attempted": COUNT, "facts": facts, "statuses": statuses}), flush=True)


soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
wanted = COUNT + 200
if soft < wanted:
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
asyncio.run(main())
