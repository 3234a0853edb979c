"""A name that changes its mind: `rebinding.py MARTLET FOLDER`, to be run as root in a network, mount and process namespace of its own.

There it is a name server whose names are public addresses at first and private ones afterwards, the public receivers (of addresses
that are only this namespace's), and traps on everything private. It starts the server, makes it call, and writes one line of JSON for
each thing that it tried: what the server said of it, what the name server answered, who was connected to. RebindingTests of
EndToEndTests judges them. Standard library only.
"""

import collections
import http.server
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

MARTLET, FOLDER = sys.argv[1:3]
PUBLIC = "93.184.215.14"
PUBLIC6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
RESOLVER = "127.0.0.53"
PORT = 8000  # of receivers and traps
PRIVATE = ["127.0.0.1", "169.254.169.254", "10.1.2.3", "192.168.7.7", "172.16.9.9", "100.64.1.1", "::1", "fd00:ec2::254"]
A, AAAA = 1, 28

connections = collections.Counter()  # by the address that was connected to
paths = []  # of what the public receiver was asked for


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def prepare():
    ip("link", "set", "lo", "up")
    for address in [PUBLIC, PUBLIC6, *PRIVATE]:
        if address not in ("127.0.0.1", "::1"):
            ip("address", "add", f"{address}/{128 if ':' in address else 32}", "dev", "lo", *(["nodad"] if ":" in address else []))
    # Without routes the resolver believes that there is no IPv6, and asks for none.
    ip("route", "add", "default", "dev", "lo")
    ip("-6", "route", "add", "default", "dev", "lo")
    for name, text in (
        ("resolv.conf", f"nameserver {RESOLVER}\noptions timeout:5 attempts:3\n"),
        ("nsswitch.conf", "hosts: files dns\n"),
    ):
        with open(f"{FOLDER}/{name}", "w") as file:
            file.write(text)
        subprocess.run(["mount", "--bind", f"{FOLDER}/{name}", f"/etc/{name}"], check=True)


# MARK: The name server


class Names:
    """Answers by a script for each name: the addresses of the first query of a kind, of the second, and so on; the last stays."""

    def __init__(self):
        self.scripts = {}
        self.told = collections.defaultdict(list)
        self.lock = threading.Lock()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((RESOLVER, 53))
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            query, client = self.socket.recvfrom(4096)
            self.socket.sendto(self.answer(query), client)

    def answer(self, query):
        labels, place = [], 12
        while query[place]:
            labels.append(query[place + 1 : place + 1 + query[place]].decode())
            place += 1 + query[place]
        name, kind = ".".join(labels).lower(), struct.unpack(">H", query[place + 1 : place + 3])[0]
        family = socket.AF_INET6 if kind == AAAA else socket.AF_INET
        with self.lock:
            script = self.scripts.get(name)
            addresses = []
            if script and kind in (A, AAAA):
                turn = sum(1 for told in self.told[name] if told["kind"] == kind)
                addresses = [a for a in script[min(turn, len(script) - 1)] if (":" in a) == (kind == AAAA)]
                self.told[name].append({"kind": kind, "addresses": addresses})
        head = query[:2] + struct.pack(">HHHHH", 0x8580 if script else 0x8583, 1, len(addresses), 0, 0)
        question = query[12 : place + 5]
        records = b""
        for address in addresses:
            data = socket.inet_pton(family, address)
            records += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(data)) + data  # TTL 0
        return head + question + records


# MARK: Receivers and traps


class Receiver(http.server.BaseHTTPRequestHandler):
    """On public addresses. The path says what is answered; 503 makes the server come back, and ask for the name once more."""

    protocol_version = "HTTP/1.1"

    def reply(self):
        connections[self.server.server_address[0]] += 1
        paths.append(self.path)
        self.rfile.read(int(self.headers.get("content-length", 0)))
        status, fields = 503, []
        if self.path.startswith("/redirect/"):
            status, fields = 307, [("Location", self.path.removeprefix("/redirect/"))]
        elif self.path.startswith("/same"):
            status, fields = 307, [("Location", "/ok")]
        elif self.path.startswith("/ok"):
            status = 200
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        if self.path.startswith("/hang-up"):
            self.send_header("Connection", "close")
        self.end_headers()

    do_GET = do_POST = do_PUT = reply

    def log_message(self, *_):
        pass


class Server6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


def trap(address, port):
    """Whoever connects is counted, and gets an answer as the secret service would give it."""
    listener = socket.create_server(
        (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=100)

    def run():
        while True:
            client, _ = listener.accept()
            connections[address] += 1
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret")
            client.close()

    threading.Thread(target=run, daemon=True).start()


# MARK: The server


class Martlet:
    def __init__(self):
        self.log = open(f"{FOLDER}/martlet.log", "w")
        self.program = subprocess.Popen(
            [MARTLET, "serve", "--port", "9090", "--database", "sqlite::memory:"], cwd=FOLDER, stdout=self.log, stderr=self.log,
            env={"PATH": os.environ["PATH"], "SWIFT_BACKTRACE": "enable=no", "MARTLET_NETWORK_ALLOW_PRIVATE_TARGETS": "false"})
        self.wait("the server", lambda: self.call("GET", "/health/ready")[0] == 200)

    def call(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:9090{path}", method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            if self.program.poll() is not None:
                raise SystemExit(f"the server has ended: {self.program.returncode}")
            return 0, {}

    def wait(self, what, probe):
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            if found := probe():
                return found
            time.sleep(0.05)
        raise SystemExit(f"waited in vain for {what}")

    def webhook(self, url, retries=2):
        """A task that calls; how it ended, and what each attempt met."""
        status, task = self.call("POST", "/tasks", {
            "type": "WEBHOOK_CALL", "payload": {"url": url, "timeoutSeconds": 20}, "retries": retries,
            "backoff": {"strategy": "fixed", "baseSeconds": 0.1, "jitter": 0}})
        if status != 201:
            return {"refused": status}
        final = self.wait(f"the end of {url}", lambda: self.final(task["id"]))
        attempts = self.call("GET", f"/tasks/{task['id']}/attempts")[1]["data"]
        return {
            "status": final["status"],
            "errors": [(a.get("error") or {}).get("type", "") for a in attempts],
            "messages": [(a.get("error") or {}).get("message", "") for a in attempts],
        }

    def notice(self, url, sends=2):
        """A task whose end is told; how telling ended. What waits out a pause is sent again by hand."""
        status, task = self.call("POST", "/tasks", {
            "type": "DELAYED_MESSAGE", "payload": {"message": "x"}, "notify": [{"webhook": url}]})
        if status != 201:
            return {"refused": status}
        self.wait("the task's end", lambda: self.final(task["id"]))

        def told(isLast):
            notices = self.call("GET", f"/notifications?taskId={task['id']}")[1].get("data", [])
            notice = notices[0] if notices else {"status": "PENDING"}
            return notice if notice["status"] != "PENDING" or not isLast and notice.get("lastError") else None

        # The last one ends it; a try is counted before it is over, so that only its error tells that it is.
        errors = []
        for count in range(1, sends + 1):
            notice = self.wait(f"the notice to {url}", lambda: told(count > 1))
            errors.append(notice.get("lastError") or "")
            if notice["status"] != "PENDING" or count == sends:
                break
            self.call("POST", f"/notifications/{notice['id']}/resend", {})
        return {"status": notice["status"], "errors": errors, "messages": errors}

    def final(self, task):
        status, found = self.call("GET", f"/tasks/{task}?waitSeconds=5")
        return found if status == 200 and found["status"] in ("SUCCESS", "DEAD", "CANCELLED") else None


# Ways to write an address that must not be called.
LITERALS = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "0", "0.0.0.0", "127.0.0.1.",
    "127.255.255.254", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]", "[0:0:0:0:0:ffff:169.254.169.254]", "169.254.169.254", "2852039166", "0xa9fea9fe", "10.1.2.3", "192.168.7.7",
    "172.16.9.9", "100.64.1.1", "[fd00:ec2::254]", "[fe80::1]", "[fe80::1%25lo]", "localhost", "LOCALHOST", "localhost.",
    f"{PUBLIC}@127.0.0.1", f"{PUBLIC}%2523@127.0.0.1", f"{PUBLIC}:80@127.0.0.1", f"127.0.0.1:{PORT}#@{PUBLIC}",
    f"127.0.0.1:{PORT}\\@{PUBLIC}", "%31%32%37.0.0.1", "127。0。0。1", "①②⑦.0.0.1",
]


def main():
    prepare()
    names = Names()
    for address in [PUBLIC, PUBLIC6]:
        kind = Server6 if ":" in address else http.server.ThreadingHTTPServer
        threading.Thread(target=kind((address, PORT), Receiver).serve_forever, daemon=True).start()
    for address in PRIVATE:
        trap(address, PORT)
    for port in (80, 443):
        trap("127.0.0.1", port)
        trap("169.254.169.254", port)
    martlet = Martlet()

    def tell(kind, way, url, name, does):
        before, asked = connections.copy(), len(paths)
        said = does(url)
        reached = connections - before
        print(json.dumps({
            "kind": kind, "way": way, "url": url, "said": said, "told": names.told.get(name, []),
            "public": sum(reached[a] for a in (PUBLIC, PUBLIC6)), "paths": paths[asked:],
            "private": {a: n for a, n in reached.items() if a not in (PUBLIC, PUBLIC6)}}), flush=True)

    ways = [("webhook", martlet.webhook), ("notice", martlet.notice)]
    for way, does in ways:
        # It is public when it is called for the first time, and something else the second time.
        for number, private in enumerate([*PRIVATE, "::ffff:127.0.0.1", "::ffff:169.254.169.254", "0.0.0.0", "::"]):
            name = f"mind-{number}.{way}.example"
            names.scripts[name] = [[PUBLIC6 if ":" in private else PUBLIC], [private]]
            tell("rebinding", way, f"http://{name}:{PORT}/", name, does)
        # It is both at once, and what is public takes no connections.
        for number, private in enumerate(PRIVATE):
            name = f"both-{number}.{way}.example"
            names.scripts[name] = [[PUBLIC6 if ":" in private else PUBLIC, private], [private]]
            tell("both", way, f"http://{name}:{PORT + 1}/", name, does)
        # The second look comes within the call: by a redirect to the same name, or since the connection was closed.
        for path in ("/same", "/hang-up", "/ok"):
            name = f"within{path.replace('/', '-')}.{way}.example"
            names.scripts[name] = [[PUBLIC], ["127.0.0.1"]]
            tell("within", way, f"http://{name}:{PORT}{path}", name, does)
        for place in (f"http://127.0.0.1:{PORT}/", "http://169.254.169.254/latest/meta-data/", f"//127.0.0.1:{PORT}/",
                      f"http://localhost:{PORT}/", f"http://[::1]:{PORT}/", f"http://inside.{way}.example:{PORT}/"):
            name = f"redirect.{way}.example"
            names.scripts[name] = [[PUBLIC]]
            names.scripts[f"inside.{way}.example"] = [["10.1.2.3"]]
            tell("redirect", way, f"http://{name}:{PORT}/redirect/{place}", name, lambda url: does(url, 1))
        for literal in LITERALS:
            url = f"http://{literal}" + ("/" if literal.find(str(PORT)) >= 0 else f":{PORT}/")
            tell("literal", way, url, "", lambda url: does(url, 1))
    # The traps work: whoever may call there does.
    for address in PRIVATE:
        with socket.create_connection((address, PORT), timeout=10) as client:
            client.recv(100)
    print(json.dumps({"kind": "traps", "private": {a: connections[a] for a in PRIVATE}}), flush=True)


main()
