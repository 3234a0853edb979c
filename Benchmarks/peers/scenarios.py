"""The scenarios as every peer goes through them. A peer's own file says how it submits, how its worker is started and when its
store says that all is done; then it calls `main`.

Each scenario is one run of such a file on a database of its own and prints one JSON line a figure:
{"what": "8 clients", "value": 2400.0, "unit": "tasks/s"}.
"""

import asyncio
import json
import os
import subprocess
import sys
import time

from meter import Meter

FOLDER = os.environ["BENCH_FOLDER"]  # scratch, emptied by the harness
DATABASE = os.environ.get("BENCH_DATABASE", "")  # postgres://… of an empty database
REDIS = os.environ.get("BENCH_REDIS", "")  # redis://… of an empty server
METER = Meter(FOLDER)
# Of a submitting process, however many clients share them: with more, each NOTIFY waits for the others' and all get slower.
CONNECTIONS = 4
# As in the measurements of Martlet: about 200 bytes, beside the stamp.
NOTE = "leave at the door; " + 8 * "order ord_018f7e1c, "


class Peer:
    """What a peer's file has to say."""

    # Processes that many clients are spread over: a Python or Ruby process uses one core.
    client_processes = 2

    def prepare(self):
        """Makes its tables."""

    def submit_for(self, seconds, clients, batch, start):
        """From `start` (time.monotonic) on, `clients` callers of this process submit `batch` tasks a call, again and again;
        answers tasks per second."""

    def fill(self, count):
        """Submits `count` tasks."""

    def submit_at(self, rate, seconds):
        """Submits tasks at a steady pace, each stamped with `time.monotonic_ns()`."""

    def worker(self):
        """The command of its worker."""

    def left(self):
        """True while its store holds a task that is not done. Asked once all have run."""
        return False


def figure(what, value, unit):
    print(json.dumps({"what": what, "value": value, "unit": unit}), flush=True)


# MARK: The scenarios


def submit(peer, seconds, **_):
    for what, clients in (("1 client", 1), ("8 clients", 8), ("64 clients", 64)):
        processes = min(peer.client_processes, clients)
        start = time.monotonic() + 2  # all are up by then
        pipes = []
        for _ in range(processes):
            reader, writer = os.pipe()
            if os.fork() == 0:
                os.write(writer, str(peer.submit_for(seconds, clients // processes, 1, start)).encode())
                os._exit(0)
            os.close(writer)
            pipes.append(reader)
        figure(what, sum(float(os.read(pipe, 64)) for pipe in pipes), "tasks/s")


def bulk(peer, seconds, **_):
    figure("1,000 a call", peer.submit_for(seconds, 1, 1000, time.monotonic() + 2), "tasks/s")


def drain(peer, tasks, limit, **_):
    peer.fill(tasks)
    METER.reset()
    begin = time.monotonic()
    marks = []  # (how many had run, when), at the first and at every eighth
    with Worker(peer) as worker:
        done = 0
        while done < tasks:
            worker.check()
            done, now = METER.count_now(), time.monotonic()
            if done and not marks:
                marks.append((done, now))
            while marks and done * 8 >= tasks * len(marks):
                marks.append((done, now))
            if now - begin > limit:
                sys.exit(f"only {done} of {tasks} tasks ran in {limit} s")
            time.sleep(0.005)
        while peer.left():
            time.sleep(0.005)
        end = time.monotonic()
        memory = worker.peak_megabytes()
    figure("from the first", (tasks - marks[0][0]) / (end - marks[0][1]), "tasks/s")
    figure("with the start", tasks / (end - begin), "tasks/s")
    for number, (one, next) in enumerate(zip(marks, marks[1:]), 1):
        figure(f"eighth {number}", (next[0] - one[0]) / max(next[1] - one[1], 1e-3), "tasks/s")
    figure("peak memory of the worker", memory, "MB")


def pickup(peer, seconds, **_):
    METER.reset()
    with Worker(peer) as worker:
        peer.submit_at(20, 0.5)  # until everything is connected
        deadline = time.monotonic() + 20
        while METER.count_now() < 10 and time.monotonic() < deadline:
            worker.check()
            time.sleep(0.05)
        for name, rate, duration in (("idle", 2, 2 * seconds), ("100/s", 100, seconds), ("1,000/s", 1000, seconds)):
            time.sleep(0.3)
            before = len(METER.milliseconds())
            open(METER.latencies, "wb").close()
            peer.submit_at(rate, duration)
            wanted, deadline = int(rate * duration), time.monotonic() + 60
            while (late := len(METER.milliseconds())) < wanted and time.monotonic() < deadline:
                worker.check()
                time.sleep(0.05)
            if late < wanted:
                sys.exit(f"at {name} only {late} of {wanted} tasks had run 60 s after the last was submitted")
            sorted_ = METER.milliseconds()
            figure(f"{name}, p50", sorted_[len(sorted_) // 2], "ms")
            figure(f"{name}, p99", sorted_[min(len(sorted_) - 1, len(sorted_) * 99 // 100)], "ms")


# MARK: Parts


class Worker:
    """The peer's worker, as a process of its own; ended when the block is left, and when this process is killed."""

    def __init__(self, peer):
        self.command = peer.worker()

    def __enter__(self):
        self.log = open(os.path.join(FOLDER, "worker.log"), "w+b")
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *self.command], stdout=self.log, stderr=subprocess.STDOUT)
        return self

    def check(self):
        if self.process.poll() is not None:
            self.log.seek(0)
            sys.exit("the worker ended: " + self.log.read().decode(errors="replace")[-800:])

    def peak_megabytes(self):
        kibibytes = 0
        for pid in family(self.process.pid):
            with open(f"/proc/{pid}/status") as status:
                kibibytes += sum(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
        return kibibytes / 1024

    def __exit__(self, *_):
        children = family(self.process.pid)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            for pid in children:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass
            self.process.wait()


def family(pid):
    """A process and all that descend from it."""
    pids = [pid]
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children") as children:
            for child in children.read().split():
                pids += family(int(child))
    return pids


def query(sql):
    """One value of the peer's database, by psql."""
    return subprocess.run(["psql", "-XqAt", DATABASE, "-c", sql], check=True, capture_output=True, text=True).stdout.strip()


async def call_for(seconds, clients, batch, start, call):
    """Tasks per second of `clients` coroutines that make a call of `batch` tasks again and again."""
    await asyncio.sleep(start - time.monotonic())
    end, counts = start + seconds, [0] * clients

    async def client(number):
        while time.monotonic() < end:
            await call()
            counts[number] += 1

    await asyncio.gather(*[client(number) for number in range(clients)])
    return sum(counts) * batch / (time.monotonic() - start)


async def call_at(rate, seconds, call):
    """Calls at a steady pace; one does not wait for the other."""
    start, tasks = time.monotonic(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0, start + number / rate - time.monotonic()))
        tasks.append(asyncio.create_task(call()))
    await asyncio.gather(*tasks)


def main(peer):
    scenario, settings = sys.argv[1], json.loads(sys.argv[2])
    peer.prepare()
    {"submit": submit, "bulk": bulk, "drain": drain, "pickup": pickup}[scenario](peer, **settings)
