"""The private servers of a run: a PostgreSQL cluster and a Redis on free ports of the loopback. They end with the run."""

import glob
import os
import pwd
import shutil
import socket
import subprocess
import time

# What a small server is usually given; all else is PostgreSQL's default.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
}


class Failed(Exception):
    pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(ready, process, log, what, seconds=20):
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            with open(log, errors="replace") as file:
                raise Failed(f"{what} did not start: {file.read()[-800:]}")
        time.sleep(0.02)


class Postgres:
    def __init__(self, folder):
        # Debian keeps its programs by version and off the path.
        found = glob.glob("/usr/lib/postgresql/*/bin/postgres") or list(filter(None, [shutil.which("postgres")]))
        if not found:
            raise Failed("PostgreSQL's server is missing: scripts/setup --bench")
        self.bin = os.path.dirname(max(found, key=lambda path: [int(part) for part in path.split("/") if part.isdigit()]))
        self.port = free_port()
        self.data = os.path.join(folder, "postgres")
        self.log = os.path.join(folder, "postgres.log")
        os.mkdir(self.data, 0o700)
        with open(self.log, "wb") as log:
            if os.geteuid() == 0:  # which it refuses to run as
                account = pwd.getpwnam("postgres")
                os.chown(self.data, account.pw_uid, account.pw_gid)
            initdb = ["-D", self.data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]
            subprocess.run(self.as_server("initdb", *initdb), check=True, stdout=log, stderr=log, cwd=self.data)
            settings = dict(SETTINGS, port=self.port, listen_addresses="127.0.0.1", unix_socket_directories="")
            arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            self.process = subprocess.Popen(
                self.as_server("postgres", "-D", self.data, *arguments), stdout=log, stderr=log, cwd=self.data)
        ready = [os.path.join(self.bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        wait_until(lambda: subprocess.run(ready).returncode == 0, self.process, self.log, "PostgreSQL")

    def as_server(self, program, *arguments):
        # It gets a signal even when this process is killed.
        user = ["--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
        return ["setpriv", *user, "--pdeathsig", "INT", os.path.join(self.bin, program), *arguments]

    def url(self, database):
        return f"postgres://bench@127.0.0.1:{self.port}/{database}"

    def query(self, sql, database="postgres"):
        psql = [os.path.join(self.bin, "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", self.url(database), "-c", sql]
        done = subprocess.run(psql, capture_output=True, text=True)
        if done.returncode:
            raise Failed(done.stderr.strip())
        return done.stdout.strip()

    def fresh_database(self, name="bench"):
        """An empty database after a checkpoint, so that each contender begins alike."""
        self.query(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.query(f"CREATE DATABASE {name}")
        self.query("CHECKPOINT")
        return self.url(name)

    def stop(self):
        self.process.send_signal(2)
        self.process.wait(60)


class Redis:
    """Every write is on disk before it is answered."""

    settings = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]

    def __init__(self, folder):
        if not shutil.which("redis-server"):
            raise Failed("Redis is missing: scripts/setup --bench")
        self.port = free_port()
        data, log = os.path.join(folder, "redis"), os.path.join(folder, "redis.log")
        os.mkdir(data)
        address = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", data, "--daemonize", "no"]
        with open(log, "wb") as file:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "redis-server", *address, *self.settings], stdout=file, stderr=file)
        wait_until(lambda: self.call("PING") == "PONG", self.process, log, "Redis")

    def call(self, *command):
        cli = ["redis-cli", "-p", str(self.port), *command]
        return subprocess.run(cli, capture_output=True, text=True).stdout.strip()

    def fresh_database(self):
        self.call("FLUSHALL")
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


class Snapshot:
    """A session that holds a snapshot open for as long as the block lasts, and proves afterwards that it did."""

    def __init__(self, postgres, database="bench"):
        self.postgres, self.database = postgres, database

    def __enter__(self):
        psql = [os.path.join(self.postgres.bin, "psql"), "-XqAt", self.postgres.url(self.database)]
        self.session = subprocess.Popen(psql, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ask("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) > 0 FROM pg_class;")
        return self

    def ask(self, sql):
        self.session.stdin.write(sql + "\n")
        self.session.stdin.flush()
        answer = self.session.stdout.readline().strip()
        if answer != "t":
            raise Failed("the session that holds the snapshot is gone")

    def __exit__(self, error, *_):
        if error is None:
            self.ask("SELECT now() < clock_timestamp() - interval '0.1 seconds';")  # still the transaction of the beginning
        self.session.stdin.close()
        self.session.wait(10)
