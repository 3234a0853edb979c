"""Who runs in which scenario, under which conditions, and what of it is shown. The numbers are those of the goals that the
project has set itself; the report follows this file from top to bottom."""

from dataclasses import dataclass, field
from functools import partial
from typing import Callable

import limits
from contenders import idle_memory, martlet, martlet_http, peer


@dataclass
class Contender:
    key: str
    label: str
    run: Callable
    # What a reader has to know to judge the figure: durability, tuning.
    note: str = ""

    @property
    def kind(self):
        return self.key.split("-")[0]  # martlet, limit, or a peer's name


@dataclass
class Scenario:
    key: str
    title: str
    about: str
    # What is shown of what was measured, and above which column.
    columns: dict
    contenders: list
    unit: str = "per second"
    less_is_better: bool = False
    # Columns in which Martlet is compared, with the contender that is meant.
    compared: list = field(default_factory=list)
    # Pairs of a contender and a figure's name of which one is given as a part of the other, with what that says.
    shares: dict = field(default_factory=dict)
    # Where one contender has a row for each of several circumstances: what their figures' names begin with.
    rows: dict = field(default_factory=dict)


PG = "each commit on disk"
PGQUEUER = f"{PG}; ended tasks move to a log table"
PROCRASTINATE = f"{PG}; history kept"
SIDEKIQ = "Redis with appendfsync always; a fetched task is lost with its worker; no history"
CELERY = "Redis with appendfsync always; late acknowledgement; no history"

CLIENTS = {"1 client": "1 client", "8 clients": "8 clients", "64 clients": "64 clients"}
DRAINED = {
    "from the first": "from the first task on", "with the start": "with the worker's start",
    "peak memory of the worker": "worker's peak MB",
}


def one_row(run):
    return [limits.insert(run, what, 1, int(what.split()[0]))[0] for what in CLIENTS]


SCENARIOS = [
    Scenario(
        "submit", "1. Durable single submits",
        "Each client submits one task and waits for its answer before the next. Peers are libraries called in 1 process (1 "
        "client) or 2, those on PostgreSQL over at most 4 connections each, since more are slower for them; Martlet is also called "
        "over HTTP.",
        CLIENTS,
        [
            Contender("martlet", "Martlet, over HTTP", martlet_http, f"{PG}; loaded by wrk"),
            Contender("martlet-inside", "Martlet, in process", partial(martlet, scenario="submit"), PG),
            Contender("pgqueuer", "pgqueuer", partial(peer, name="pgqueuer", scenario="submit"), PG),
            Contender("procrastinate", "procrastinate", partial(peer, name="procrastinate", scenario="submit"), PG),
            Contender(
                "sidekiq", "Sidekiq", partial(peer, name="sidekiq", scenario="submit", redis=True),
                "Redis with appendfsync always"),
            Contender(
                "celery", "Celery", partial(peer, name="celery", scenario="submit", redis=True),
                "Redis with appendfsync always"),
            Contender("limit", "limit: pgbench, one row a statement", one_row, f"{PG}; as many connections as clients"),
        ],
        compared=["1 client", "8 clients", "64 clients"]),
    Scenario(
        "bulk", "2. Bulk submits", "One caller, 1,000 tasks a call.", {"1,000 a call": "1,000 a call"},
        [
            Contender("martlet", "Martlet, in process", partial(martlet, scenario="bulk"), PG),
            Contender("pgqueuer", "pgqueuer", partial(peer, name="pgqueuer", scenario="bulk"), PG),
            Contender("procrastinate", "procrastinate", partial(peer, name="procrastinate", scenario="bulk"), PG),
            Contender(
                "sidekiq", "Sidekiq", partial(peer, name="sidekiq", scenario="bulk", redis=True),
                "Redis with appendfsync always"),
            Contender(
                "limit", "limit: pgbench, 1,000 rows a statement",
                lambda run: limits.insert(run, "1,000 a call", 1000, 1), f"{PG}; 1 connection"),
        ],
        compared=["1,000 a call"]),
    Scenario(
        "drain", "3. Drain of a backlog of no-ops",
        "The backlog is stored before the worker starts; the end is when the store says that all are done. 100,000 tasks; "
        "procrastinate 3,000 and Celery 5,000, since they would take minutes.",
        DRAINED,
        [
            Contender(
                "martlet", "Martlet, one node", partial(martlet, scenario="drain"),
                f"{PG}; history kept; a worker process of 32 slots"),
            Contender(
                "pgqueuer", "pgqueuer", partial(peer, name="pgqueuer", scenario="drain", tasks=100_000, batch=500),
                f"{PGQUEUER}; batch_size 500 (default 10)"),
            Contender(
                "procrastinate", "procrastinate",
                partial(peer, name="procrastinate", scenario="drain", tasks=3_000, concurrency=30),
                f"{PROCRASTINATE}; concurrency 30 (default 1)"),
            Contender(
                "sidekiq", "Sidekiq", partial(peer, name="sidekiq", scenario="drain", tasks=100_000, redis=True, concurrency=25),
                f"{SIDEKIQ}; concurrency 25 (default 10)"),
            Contender(
                "celery", "Celery",
                partial(peer, name="celery", scenario="drain", tasks=5_000, redis=True, prefetch=100),
                f"{CELERY}; 2 processes, prefetch multiplier 100 (default 4)"),
            Contender(
                "limit", "limit: pgbench, claim and end",
                lambda run: limits.drain(run, "from the first", 500, 4, run.tasks),
                f"{PG}; 500 rows a statement, 4 connections"),
            Contender(
                "limit-2", "the same with 2 connections",
                lambda run: limits.drain(run, "from the first", 500, 2, run.tasks), ""),
        ],
        compared=["from the first"]),
    Scenario(
        "cycle", "Limits of insert, claim and end together",
        "What pgbench reaches on the same tables when it makes the tasks as well; the work of scenarios 2 and 3 in one.",
        {"batches": "500 rows a statement", "one": "one row a statement"},
        [
            Contender(
                "limit-4", "pgbench, 4 connections",
                lambda run: limits.cycle(run, "batches", 500, 4) + limits.cycle(run, "one", 1, 4), PG),
            Contender(
                "limit-2", "pgbench, 2 connections",
                lambda run: limits.cycle(run, "batches", 500, 2) + limits.cycle(run, "one", 1, 2), PG),
        ]),
    Scenario(
        "pickup", "4. Pickup latency",
        "From the call of submit to the first line of the handler, by one clock. Idle is 2 tasks a second. Peers submit in one "
        "process and run in another; so does Martlet with two nodes. Default settings, but procrastinate at concurrency 30: "
        "with its default of 1 it does not keep up with 1,000/s.",
        {
            f"{rate}, {part}": f"{rate} {part}"
            for rate in ("idle", "100/s", "1,000/s") for part in ("p50", "p99")
        },
        [
            Contender("martlet", "Martlet, one node", partial(martlet, scenario="pickup"), PG),
            Contender("martlet-two", "Martlet, two nodes", partial(martlet, scenario="pickup", nodes=2), PG),
            Contender("pgqueuer", "pgqueuer", partial(peer, name="pgqueuer", scenario="pickup"), PG),
            Contender(
                "procrastinate", "procrastinate",
                partial(peer, name="procrastinate", scenario="pickup", concurrency=30), PG),
            Contender(
                "sidekiq", "Sidekiq", partial(peer, name="sidekiq", scenario="pickup", redis=True),
                "Redis with appendfsync always"),
            Contender(
                "celery", "Celery", partial(peer, name="celery", scenario="pickup", redis=True),
                "Redis with appendfsync always"),
        ],
        unit="milliseconds", less_is_better=True,
        compared=["idle, p50", "100/s, p50", "100/s, p99", "1,000/s, p50", "1,000/s, p99"]),
    Scenario(
        "snapshot", "5a. Drain while another session holds a snapshot open",
        "The same drain with and without a REPEATABLE READ transaction that is opened before the tasks are stored, so that "
        "nothing of what they leave behind can be cleaned up. Martlet drains 500,000, pgqueuer 50,000, procrastinate 3,000.",
        {"from the first": "whole drain", "eighth 1": "first eighth", "eighth 8": "last eighth"},
        [
            Contender("martlet", "Martlet, snapshot held", partial(martlet, scenario="drain", tasks=500_000, held=True), PG),
            Contender("martlet-free", "Martlet, none held", partial(martlet, scenario="drain", tasks=500_000), PG),
            Contender(
                "pgqueuer", "pgqueuer, snapshot held",
                partial(peer, name="pgqueuer", scenario="drain", tasks=50_000, batch=500, held=True), PGQUEUER),
            Contender(
                "pgqueuer-free", "pgqueuer, none held",
                partial(peer, name="pgqueuer", scenario="drain", tasks=50_000, batch=500), PGQUEUER),
            Contender(
                "procrastinate", "procrastinate, snapshot held",
                partial(peer, name="procrastinate", scenario="drain", tasks=3_000, concurrency=30, held=True), PROCRASTINATE),
            Contender(
                "procrastinate-free", "procrastinate, none held",
                partial(peer, name="procrastinate", scenario="drain", tasks=3_000, concurrency=30), PROCRASTINATE),
        ],
        shares={
            "Martlet, held to none held": (("martlet", "from the first"), ("martlet-free", "from the first")),
            "Martlet held, last eighth to first": (("martlet", "eighth 8"), ("martlet", "eighth 1")),
            "pgqueuer, held to none held": (("pgqueuer", "from the first"), ("pgqueuer-free", "from the first")),
            "pgqueuer held, last eighth to first": (("pgqueuer", "eighth 8"), ("pgqueuer", "eighth 1")),
        }),
    Scenario(
        "backlog", "5b. What a claim costs in a large backlog",
        "8 claimers over 2 stores claim up to 32 tasks of mixed priorities a call, end them and submit as many again, so that the "
        "backlog stays as it is. Each begins after a VACUUM and a checkpoint and lasts four times as long as the others: to clean up "
        "after 10⁶ tasks that ended within half a minute, and the first use of the room that they left, are other costs. "
        "Milliseconds of a claim that got something, and all of this per second.",
        {"p50": "claim, ms p50", "p99": "claim, ms p99", "rate": "tasks per second"},
        [Contender("martlet", "Martlet", partial(martlet, scenario="backlog", longer=4), PG)], unit="backlog",
        rows={
            "one READY": "1 READY", "some READY": "10⁴ READY", "many READY": "10⁶ READY",
            "some READY beside many ended": "10⁴ READY beside 10⁶ ended",
        },
        shares={
            "rate at 10⁶ to rate at 10⁴": (("martlet", "many READY, rate"), ("martlet", "some READY, rate")),
            "rate beside 10⁶ ended to rate without": (
                ("martlet", "some READY beside many ended, rate"), ("martlet", "some READY, rate")),
        }),
    Scenario(
        "nodes", "7. Two nodes on one PostgreSQL",
        "The drain of scenario 3 by one worker process and by two. Remote workers over HTTP come with a later version.",
        DRAINED,
        [
            Contender("martlet-one", "one node", partial(martlet, scenario="drain"), PG),
            Contender("martlet-two", "two nodes", partial(martlet, scenario="drain", nodes=2), PG),
        ],
        shares={"two nodes to one": (("martlet-two", "from the first"), ("martlet-one", "from the first"))}),
    Scenario(
        "memory", "Memory", "Resident memory of `martlet serve` that has nothing to do, 10 s after its start.",
        {"idle server, resident": "MB"},
        [Contender("martlet", "Martlet on PostgreSQL", idle_memory, "all roles")], unit="MB",
        less_is_better=True),
]
