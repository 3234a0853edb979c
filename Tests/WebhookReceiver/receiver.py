"""A receiver of webhooks that knows Standard Webhooks from its specification alone (https://www.standardwebhooks.com).

It writes what comes into a journal, a JSON object a line, before it answers: 200 at /good, first 500 and then 200 for each id at
/flaky, nothing for a minute at /slow, 410 at /gone. It ends when its parent does.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

JOURNAL, PORT_FILE, PORT, SECRETS = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
LOCK = threading.Lock()


def times_seen(ident):
    if not os.path.exists(JOURNAL):
        return 0
    with open(JOURNAL, encoding="utf-8") as journal:
        return sum(json.loads(line)["id"] == ident for line in journal)


def is_signed(ident, timestamp, body, signatures):
    """By each of the secrets, and fresh."""
    content = f"{ident}.{timestamp}.".encode() + body
    expected = set()
    for secret in SECRETS:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        expected.add("v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode())
    return expected == set(signatures.split(" ")) and abs(time.time() - int(timestamp)) < 300


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        ident, timestamp = self.headers["webhook-id"], self.headers["webhook-timestamp"]
        with LOCK:
            seen = times_seen(ident)
            status = {"/good": 200, "/flaky": 200 if seen else 500, "/gone": 410}.get(self.path, 0)
            entry = {
                "id": ident,
                "path": self.path,
                "status": status,
                "isSigned": is_signed(ident, timestamp, body, self.headers["webhook-signature"]),
                "body": json.loads(body),
            }
            with open(JOURNAL, "a", encoding="utf-8") as journal:
                journal.write(json.dumps(entry) + "\n")
        if not status:
            time.sleep(60)
            status = 500
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


def watch(parent):
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(0)


threading.Thread(target=watch, args=(os.getppid(),), daemon=True).start()
server = ThreadingHTTPServer(("127.0.0.1", PORT), Receiver)
server.daemon_threads = True
with open(PORT_FILE + ".new", "w", encoding="utf-8") as file:
    file.write(str(server.server_address[1]))
os.rename(PORT_FILE + ".new", PORT_FILE)
server.serve_forever()
