"""procrastinate: a table worked by asyncio over psycopg; ended tasks stay in it."""

import asyncio
import os
import sys
import time

import procrastinate
from scenarios import CONNECTIONS, DATABASE, METER, NOTE, Peer, call_at, call_for, main, query

# Its one setting for throughput: tasks at once.
CONCURRENCY = int(os.environ.get("PEER_CONCURRENCY", "1"))

EMPTY = {"stamp": 0, "note": NOTE}


def application(connections):
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(conninfo=DATABASE, min_size=1, max_size=connections))

    @app.task(name="noop")
    async def noop(stamp, note):
        METER.ran(stamp)

    return app, noop


class ProcrastinatePeer(Peer):
    def run(self, body, connections):
        async def opened():
            app, noop = application(connections)
            async with app.open_async():
                return await body(app, noop)

        return asyncio.run(opened())

    def prepare(self):
        self.run(lambda app, _: app.schema_manager.apply_schema_async(), 1)

    def submit_for(self, seconds, clients, batch, start):
        async def body(_, noop):
            def call():
                return noop.defer_async(**EMPTY) if batch == 1 else noop.batch_defer_async(*[EMPTY] * batch)

            return await call_for(seconds, clients, batch, start, call)

        return self.run(body, min(clients, CONNECTIONS))

    def fill(self, count):
        async def body(_, noop):
            for _ in range(0, count, 1000):
                await noop.batch_defer_async(*[EMPTY] * 1000)

        self.run(body, 1)

    def submit_at(self, rate, seconds):
        async def body(_, noop):
            await call_at(rate, seconds, lambda: noop.defer_async(stamp=time.monotonic_ns(), note=NOTE))

        self.run(body, CONNECTIONS)

    def worker(self):
        return [sys.executable, __file__, "worker"]

    def left(self):
        return query("SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status <> 'succeeded')") == "t"


async def work():
    app, _ = application(max(10, CONCURRENCY))
    async with app.open_async():
        await app.run_worker_async(concurrency=CONCURRENCY)


if __name__ == "__main__":
    asyncio.run(work()) if sys.argv[1] == "worker" else main(ProcrastinatePeer())
