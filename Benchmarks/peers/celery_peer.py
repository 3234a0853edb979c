"""Celery over Redis: a pool of processes. Late acknowledgement, so that a task is not lost with its worker; no results kept."""

import os
import sys
import threading
import time

from celery import Celery
from scenarios import METER, NOTE, REDIS, Peer, main

HERE = os.path.dirname(os.path.abspath(__file__))
app = Celery("celery_peer", broker=REDIS)
app.conf.update(
    task_ignore_result=True, task_acks_late=True, broker_connection_retry_on_startup=True, broker_pool_limit=64,
    # Its documentation's advice for many short tasks: fetch more ahead.
    worker_prefetch_multiplier=int(os.environ.get("PEER_PREFETCH", "4")))


@app.task(name="noop")
def noop(stamp, note):
    METER.ran(stamp)


class CeleryPeer(Peer):
    def submit_for(self, seconds, clients, batch, start):
        # It has no call for many tasks: `batch` is 1.
        counts = [0] * clients

        def client(number):
            while time.monotonic() < start + seconds:
                noop.delay(0, NOTE)
                counts[number] += 1

        time.sleep(max(0, start - time.monotonic()))
        threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.monotonic() - start)

    def fill(self, count):
        for _ in range(count):
            noop.delay(0, NOTE)

    def submit_at(self, rate, seconds):
        start = time.monotonic()
        for number in range(int(rate * seconds)):
            time.sleep(max(0, start + number / rate - time.monotonic()))
            noop.delay(time.monotonic_ns(), NOTE)

    def worker(self):
        return [
            sys.executable, "-m", "celery", "-A", "celery_peer", "--workdir", HERE, "worker", "-c", "2", "-l", "ERROR",
            "--without-gossip", "--without-mingle", "--without-heartbeat",
        ]


if __name__ == "__main__":
    main(CeleryPeer())
