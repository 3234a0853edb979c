"""What a peer's worker tells of its tasks: how many have run, and how long each had been under way.

Workers write, the measuring process reads: a shared page of counters, one a process, and a file of latencies. Both cost a
worker microseconds, so that the peer is measured and not the meter.
"""

import array
import mmap
import os
import struct
import threading
import time

SLOTS = 4096


class Meter:
    def __init__(self, folder):
        self.counts = os.path.join(folder, "counts")
        self.latencies = os.path.join(folder, "latencies")
        self.owner = None

    # In the worker.

    def ran(self, stamp):
        """A task runs that was submitted at `stamp` (nanoseconds of CLOCK_MONOTONIC; 0 where latency is not asked for)."""
        if stamp:
            late = time.monotonic_ns() - stamp
        if self.owner != os.getpid():  # workers that fork get a counter each
            self._open()
        if stamp:
            os.write(self.log, struct.pack("q", late))
        with self.lock:
            self.count += 1
            struct.pack_into("Q", self.page, self.slot, self.count)

    def _open(self):
        self.owner, self.count, self.lock = os.getpid(), 0, threading.Lock()
        self.slot = self.owner % SLOTS * 8
        with open(self.counts, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), SLOTS * 8)
        self.log = os.open(self.latencies, os.O_WRONLY | os.O_APPEND)

    # In the measuring process.

    def reset(self):
        with open(self.counts, "wb") as file:
            file.write(bytes(SLOTS * 8))
        open(self.latencies, "wb").close()

    def count_now(self):
        with open(self.counts, "rb") as file:
            return sum(array.array("Q", file.read()))

    def milliseconds(self):
        with open(self.latencies, "rb") as file:
            return sorted(late / 1e6 for late in array.array("q", file.read()))
