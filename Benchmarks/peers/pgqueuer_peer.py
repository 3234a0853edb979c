"""pgqueuer: a table worked by asyncio over asyncpg; ended tasks go from the queue's table to its log, all tables logged."""

import os
import sys
import time

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.queries import Queries
from scenarios import CONNECTIONS, DATABASE, METER, NOTE, Peer, call_at, call_for, main, query

# Its one setting for throughput: tasks a dequeue, and reports a flush.
BATCH = int(os.environ.get("PEER_BATCH", "10"))


def payload(stamp):
    return f"{stamp} {NOTE}".encode()


async def with_queries(connections, body):
    async with asyncpg.create_pool(DATABASE, min_size=connections, max_size=connections) as pool:
        return await body(Queries(AsyncpgPoolDriver(pool)))


async def enqueue_many(queries, count):
    await queries.enqueue(["noop"] * count, [payload(0)] * count, [0] * count)


class PgQueuerPeer(Peer):
    def prepare(self):
        self.run(lambda queries: queries.install(), 1)

    def run(self, body, connections):
        return uvloop.run(with_queries(connections, body))

    def submit_for(self, seconds, clients, batch, start):
        async def body(queries):
            def call():
                return queries.enqueue("noop", payload(0)) if batch == 1 else enqueue_many(queries, batch)

            return await call_for(seconds, clients, batch, start, call)

        return self.run(body, min(clients, CONNECTIONS))

    def fill(self, count):
        async def body(queries):
            for _ in range(0, count, 1000):
                await enqueue_many(queries, 1000)

        self.run(body, 1)

    def submit_at(self, rate, seconds):
        async def body(queries):
            await call_at(rate, seconds, lambda: queries.enqueue("noop", payload(time.monotonic_ns())))

        self.run(body, CONNECTIONS)

    def worker(self):
        return [sys.executable, __file__, "worker"]

    def left(self):
        return query("SELECT EXISTS (SELECT FROM pgqueuer)") == "t"


async def work():
    manager = PgQueuer(AsyncpgDriver(await asyncpg.connect(DATABASE)))

    @manager.entrypoint("noop")
    async def noop(job):
        METER.ran(int(job.payload.split(b" ", 1)[0]))

    await manager.run(batch_size=BATCH)


if __name__ == "__main__":
    uvloop.run(work()) if sys.argv[1] == "worker" else main(PgQueuerPeer())
