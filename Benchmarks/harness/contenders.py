"""How each contender of a scenario is run: Martlet's own `martlet bench` and `martlet serve` under wrk, and the peers' files.
Each function takes the run and answers figures: (what, value, unit)."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.request

from servers import Failed, Snapshot, free_port, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
BENCHMARKS = os.path.dirname(HERE)


def output(command, timeout=400, **environment):
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env=dict(os.environ, **environment))
    if done.returncode:
        raise Failed(f"{os.path.basename(command[0])} … {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout


# MARK: Martlet


def martlet(run, scenario, tasks=100_000, nodes=1, held=False, longer=1):
    """One round of a scenario of `martlet bench`."""
    url = run.postgres.fresh_database()
    settings = {
        "database": url, "scenario": scenario, "rounds": 1, "tasks": run.scaled(tasks), "seconds": run.seconds * longer,
        "nodes": nodes}
    command = [run.martlet, "bench", "--json"] + [f"--{name}={value}" for name, value in settings.items()]
    if held:
        with Snapshot(run.postgres):
            text = output(command)
    else:
        text = output(command)
    return [(found["name"], found["median"], found["unit"]) for found in json.loads(text)["measurements"]]


def martlet_http(run):
    """Single submits to `martlet serve`, which carries out nothing meanwhile, by 1, 8 and 64 connections of wrk."""
    figures = []
    for what, clients in (("1 client", 1), ("8 clients", 8), ("64 clients", 64)):
        with Server(run, "--roles", "api,scheduler") as server:
            text = output([
                "wrk", "-t", "1", "-c", str(clients), "-d", f"{run.whole_seconds}s", "--latency", "-s",
                os.path.join(BENCHMARKS, "submit.lua"), f"http://127.0.0.1:{server.port}/tasks",
            ])
        told = json.loads(re.search(r"^\{.*\}$", text, re.M)[0])
        if told["failed"]:
            raise Failed(f"{told['failed']} of {told['requests']} requests failed")
        figures.append((what, told["requests"] / told["microseconds"] * 1e6, "tasks/s"))
    return figures


class Server:
    """`martlet serve` on a fresh database, for as long as the block lasts."""

    def __init__(self, run, *options):
        self.port = free_port()
        self.log = os.path.join(run.folder, "martlet.log")
        command = [
            run.martlet, "serve", "--database", run.postgres.fresh_database(), "--port", str(self.port), *options]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command], stdout=log, stderr=log, cwd=run.folder)

    def __enter__(self):
        wait_until(self.is_ready, self.process, self.log, "martlet serve")
        return self

    def is_ready(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=2).status == 200
        except OSError:
            return False

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def idle_memory(run):
    with Server(run) as server:
        time.sleep(10)
        with open(f"/proc/{server.process.pid}/status") as status:
            kibibytes = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    return [("idle server, resident", kibibytes / 1024, "MB")]


# MARK: Peers


def peer(run, name, scenario, tasks=None, held=False, redis=False, **tuning):
    """One scenario of a peer; `tuning` is what its file reads from the environment."""
    folder = os.path.join(run.folder, "peer")
    os.makedirs(folder, exist_ok=True)
    environment = {"BENCH_FOLDER": folder, **{f"PEER_{key.upper()}": str(value) for key, value in tuning.items()}}
    if redis:
        environment["BENCH_REDIS"] = run.redis.fresh_database()
    else:
        environment["BENCH_DATABASE"] = run.postgres.fresh_database()
    settings = {"seconds": run.seconds, "tasks": run.scaled(tasks or 0), "limit": 120}
    command = [run.python, os.path.join(BENCHMARKS, "peers", f"{name}_peer.py"), scenario, json.dumps(settings)]
    if held:
        with Snapshot(run.postgres):
            text = output(command, **environment)
    else:
        text = output(command, **environment)
    return [(line["what"], line["value"], line["unit"]) for line in map(json.loads, text.splitlines())]
