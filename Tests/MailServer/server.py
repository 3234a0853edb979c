"""A mail server for tests: aiosmtpd on a free port of the loopback. It writes its port, its certificate and each mail that it takes
into a folder, answers as the recipients' names ask, and ends when its standard input does."""

import argparse
import asyncio
import email
import email.policy
import json
import os
import re
import ssl
import subprocess
import sys
import threading
from email.header import decode_header, make_header
from email.utils import getaddresses

from aiosmtpd.smtp import SMTP, AuthResult

options = argparse.ArgumentParser()
options.add_argument("folder")
options.add_argument("--tls", choices=["none", "starttls", "implicit"], default="none")
options.add_argument("--port", type=int, default=0, help="0 for a free one")
options.add_argument("--name", default="localhost", help="whom the certificate is for")
options.add_argument("--login", help="user:password, demanded of everyone")
options.add_argument("--login-answer", help="answers every login so")
options.add_argument("--mute", action="store_true", help="takes connections and says nothing")
options = options.parse_args()


def path(name):
    return os.path.join(options.folder, name)


def write(name, content):
    """At once: whoever finds the file finds it whole."""
    with open(path(name + ".part"), "wb") as file:
        file.write(content)
    os.rename(path(name + ".part"), path(name))


async def hang():
    write("hanging", b"")
    await asyncio.sleep(3600)


def certificate():
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=" + options.name, "-out", path("certificate.pem"), "-keyout", path("key.pem"), "-addext",
         "subjectAltName=DNS:" + options.name + (",IP:127.0.0.1" if options.name == "localhost" else "")],
        check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path("certificate.pem"), path("key.pem"))
    return context


def understood(content):
    """The mail as Python's own parser reads it."""
    mail = email.message_from_bytes(content, policy=email.policy.default)
    # The newer parser leaves a space between the encoded words of a long name, against RFC 2047; the older one does not.
    older = email.message_from_bytes(content)
    parts = list(mail.walk())

    def part(kind):
        found = [part.get_content() for part in parts if part.get_content_type() == kind]
        return found[0].replace("\r\n", "\n") if found else None

    def addresses(name):
        return [{"name": str(make_header(decode_header(display))), "address": address}
                for display, address in getaddresses(older.get_all(name, []))]

    return {
        "type": mail.get_content_type(), "subject": mail["subject"], "from": addresses("from"), "to": addresses("to"),
        "messageID": mail["message-id"], "date": mail["date"].datetime.isoformat(),
        "text": part("text/plain"), "html": part("text/html"),
        "headers": [name.lower() for name in mail.keys()],
        "autoSubmitted": mail["auto-submitted"],
        "defects": [str(d) for p in parts for d in list(p.defects) + [x for h in p.values() for x in h.defects]],
        "longestLine": max(len(line) for line in content.split(b"\r\n")),
        "isASCII": content.isascii(), "hasBareEnds": bool(re.search(rb"(?<!\r)\n|\r(?!\n)", content)),
    }


class Handler:
    """`rcpt-550@…`, `data-451@…`, `hang-rcpt@…`, `hang-data@…`, `hang-quit@…`: a recipient says what becomes of him."""

    mails = 0

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        name = address.split("@")[0]
        if name == "hang-rcpt":
            await hang()
        if name.startswith("rcpt-"):
            return name[5:8] + " 5.1.1 scripted for the recipient"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        names = [address.split("@")[0] for address in envelope.rcpt_tos]
        for name in names:
            if name == "hang-data":
                await hang()
            if name.startswith("data-"):
                return name[5:8] + " scripted for the mail"
        Handler.mails += 1
        write(f"{Handler.mails}.eml", envelope.original_content)
        told = understood(envelope.original_content)
        told["envelope"] = {
            "from": envelope.mail_from, "to": envelope.rcpt_tos, "isSecure": session.ssl is not None or options.tls == "implicit",
            "login": session.auth_data.login.decode() if session.auth_data else None}
        write(f"{Handler.mails}.json", json.dumps(told).encode())
        session.hangs_up = "hang-quit" in names
        return "250 taken as " + str(Handler.mails)

    async def handle_QUIT(self, server, session, envelope):
        if getattr(session, "hangs_up", False):
            await hang()
        return "221 Bye"


def authenticate(server, session, envelope, mechanism, data):
    if options.login_answer:
        return AuthResult(success=False, handled=False, message=options.login_answer)
    is_right = data.login + b":" + data.password == options.login.encode()
    return AuthResult(success=is_right, handled=False, auth_data=data)


def smtp(context):
    return SMTP(
        Handler(), hostname="mail.test", timeout=3600, auth_required=bool(options.login), auth_require_tls=False,
        authenticator=authenticate if options.login else None,
        tls_context=context if options.tls == "starttls" else None, require_starttls=options.tls == "starttls")


async def serve():
    context = None if options.tls == "none" else certificate()
    loop = asyncio.get_running_loop()
    factory = asyncio.Protocol if options.mute else lambda: smtp(context)
    server = await loop.create_server(
        factory, "127.0.0.1", options.port, ssl=context if options.tls == "implicit" else None)
    write("port", str(server.sockets[0].getsockname()[1]).encode())
    await server.serve_forever()


def leave_with_the_tests():
    sys.stdin.buffer.read()
    os._exit(0)


threading.Thread(target=leave_with_the_tests, daemon=True).start()
asyncio.run(serve())
