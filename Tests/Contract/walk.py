#!/usr/bin/env python3
"""Walks through the contract as a new user would: every line of it once, against real servers.

    walk.py --martlet .build/debug/martlet http://127.0.0.1:8080 [http://127.0.0.1:8081]

The servers must be over one fresh database and without authentication. With two, calls alternate between them. Prints what each
line did; the exit code is 1 if anything was not as it should be. Standard library only.
"""
import argparse
import concurrent.futures
import http.client
import http.server
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(HERE, "..", "..", "Examples")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, {name.lower(): value for name, value in headers}, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:400]!r}"


class Servers:
    """Each call goes to the next one."""

    def __init__(self, addresses):
        self.addresses = addresses
        self.turn = itertools.cycle(addresses)

    def call(self, method, path, body=None, headers=None, server=None):
        place = urllib.parse.urlsplit(server or next(self.turn))
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=120)
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read().decode())
        finally:
            connection.close()

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.call("POST", path, body, **more)

    def submit(self, type, **fields):
        answer = self.post("/tasks", {"type": type, **fields})
        expect(answer.status == 201, answer)
        return answer.json

    def task(self, id):
        return self.get(f"/tasks/{id}").json

    def until(self, id, status, seconds=120):
        return eventually(lambda: (lambda task: task if task["status"] == status else None)(self.task(id)), seconds,
                          f"{id} becomes {status}")


class Broken(Exception):
    pass


def expect(condition, what=""):
    if not condition:
        raise Broken(what)


def problem(answer, status, code, pointer=None):
    expect(answer.status == status, answer)
    expect(answer.headers["content-type"] == "application/problem+json", answer)
    body = answer.json
    for name in ("type", "title", "status", "detail", "code", "requestId", "retryable"):
        expect(name in body, f"{name} is missing: {answer}")
    expect(body["code"] == code, answer)
    if pointer is not None:
        expect(pointer in [error["pointer"] for error in body.get("errors", [])], answer)
    return body


def eventually(body, seconds, what):
    end = time.monotonic() + seconds
    while True:
        value = body()
        if value:
            return value
        if time.monotonic() > end:
            raise Broken(what)
        time.sleep(0.05)


LINES = []


def line(section, what):
    """One line of the contract; its function answers in a few words what happened."""
    def add(function):
        LINES.append((section, what, function))
        return function
    return add


# 1. HTTP basics

@line("1", "unknown fields and parameters, bad values: 422 naming them, all at once")
def _(s):
    body = problem(s.post("/tasks", {"type": "a", "retrys": 3, "priority": 12}), 422, "invalid", "/retrys")
    expect({error["pointer"] for error in body["errors"]} >= {"/retrys", "/priority"}, body)
    problem(s.get("/tasks?statuss=READY"), 422, "invalid")
    return "422 with /retrys and /priority"


@line("1", "JSON depth over 64 is 422, no JSON is 400, another media type 415, another method 405")
def _(s):
    problem(s.post("/tasks", '{"type":"a","payload":' + "[" * 70 + "]" * 70 + "}"), 422, "invalid")
    problem(s.post("/tasks", "{nope"), 400, "malformed-json")
    answer = s.post("/tasks", "{}", headers={"Content-Type": "text/plain"})
    expect("Content-Type" in problem(answer, 415, "unsupported-media-type")["detail"], answer)
    answer = s.call("DELETE", "/tasks")
    problem(answer, 405, "method-not-allowed")
    return "422, 400, 415, 405 Allow: " + answer.headers["allow"]


@line("1", "X-Request-Id is echoed, traceparent kept for the handler")
def _(s):
    answer = s.get("/version", headers={"X-Request-Id": "walk-1"})
    expect(answer.headers["x-request-id"] == "walk-1", answer.headers)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = s.post("/tasks", {"type": "walk-trace"}, headers={"traceparent": trace})
    expect(answer.status == 201, answer)
    lease = take(s, "walk-trace")
    expect(lease["task"]["traceparent"] == trace, lease)
    finish(s, lease, "SUCCESS")
    return "walk-1, " + trace


@line("1", "lists: limit, cursor, a comma list of statuses")
def _(s):
    one = s.addresses[0]  # ids of two nodes are in order only to within their estimates of the time
    for number in range(5):
        answer = s.post("/tasks", {"type": "list-me", "metadata": {"n": str(number)}}, server=one)
        expect(answer.status == 201, answer)
    seen, cursor = [], None
    while True:
        page = s.get("/tasks?type=list-me&status=READY,PENDING&limit=2" + (f"&cursor={cursor}" if cursor else "")).json
        seen += [task["metadata"]["n"] for task in page["data"]]
        cursor = page["nextCursor"]
        if not cursor:
            break
    expect(seen == ["4", "3", "2", "1", "0"], seen)
    return "five tasks, newest first, over pages of two"


# 2. Tasks

@line("2", "the two bodies that must work as they stand")
def _(s):
    first = s.post("/tasks", '{"type":"email","payload":{"to":"user@example.com","subject":"Welcome"},"delaySeconds":60,"retries":3,"dependencies":[]}')
    second = s.post("/tasks", '{"type":"SEND_EMAIL","payload":{"to":"user@example.com","subject":"Welcome to Our Platform!","content":"<h1>…","from":"no-reply@example.com"},"runAt":"2026-02-01T10:00:00.000Z","availableAt":"2026-02-01T10:00:00.000Z"}')
    expect(first.status == 201 and first.json["status"] == "PENDING", first)
    expect(second.status == 201 and second.json["status"] == "READY", second)
    expect(second.headers["location"] == "/tasks/" + second.json["id"], second.headers)
    s.until(second.json["id"], "SUCCESS")
    return "PENDING; READY, then SUCCESS"


@line("2", "every field of the long example is taken and shown")
def _(s):
    task = s.submit(
        "SEND_EMAIL", payload={"to": "user@example.com", "subject": "Welcome"}, queue="default", priority=5, delaySeconds=60,
        retries=3, backoff={"strategy": "exponential", "baseSeconds": 1, "factor": 2, "maxSeconds": 3600, "jitter": 0.2},
        timeoutSeconds=300, leaseSeconds=30, expiresAt="2030-01-01T00:00:00.000Z", dependencies=[],
        onDependencyFailure="HOLD", idempotencyKey="order-42-mail", concurrencyKey="customer-7", tags=["billing"],
        metadata={"orderId": "42"})
    for name in ("id", "status", "attempt", "maxAttempts", "retriesLeft", "createdAt", "updatedAt", "startedAt", "finishedAt",
                 "worker", "progress", "cancelRequested", "result", "lastError", "replayOf", "scheduleName", "graphId", "reason"):
        expect(name in task, name)
    expect(task["idempotencyKey"] == "order-42-mail" and task["concurrencyKey"] == "customer-7", task)
    return f"maxAttempts {task['maxAttempts']}, availableAt {task['availableAt']}"


@line("2", "payloads come back byte for byte, and too large ones are 413")
def _(s):
    payload = '{ "b":1.0,\t"a":[1e400,"\\u00e9\\ud83d\\ude00", 12345678901234567890] }'
    answer = s.post("/tasks", '{"type":"bytes","payload":' + payload + "}")
    expect(('"payload":' + payload) in s.get("/tasks/" + answer.json["id"]).body, answer)
    problem(s.post("/tasks", {"type": "bytes", "payload": "x" * (256 * 1024)}), 413, "payload-too-large")
    return payload


@line("2", "a delay and a time together are 422, so are two unequal times and an expiry in the past")
def _(s):
    problem(s.post("/tasks", {"type": "a", "delaySeconds": 1, "runAt": "2030-01-01T00:00:00Z"}), 422, "invalid", "/delaySeconds")
    problem(s.post("/tasks", {"type": "a", "runAt": "2030-01-01T00:00:00Z", "availableAt": "2030-01-02T00:00:00Z"}), 422,
            "invalid", "/availableAt")
    problem(s.post("/tasks", {"type": "a", "expiresAt": "2020-01-01T00:00:00Z"}), 422, "invalid", "/expiresAt")
    return "/delaySeconds, /availableAt, /expiresAt"


@line("2", "expiresAt: no first attempt starts after it")
def _(s):
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 10))
    id = s.submit("nobodys", expiresAt=soon)["id"]
    task = s.until(id, "CANCELLED")
    expect(task["attempt"] == 0 and task["startedAt"] is None, task)
    return task["reason"]


@line("2", "built-in handlers: mail, delayed message, failures with retries, refused webhooks")
def _(s):
    mail = s.submit("email", payload={"to": "user@example.com", "subject": "Hello"})
    late = s.submit("DELAYED_MESSAGE", payload={"message": "hi", "delaySeconds": 0.5})
    fails = s.submit("FAIL_SOMETIMES", payload={"probability": 1}, retries=1, backoff={"strategy": "fixed", "baseSeconds": 0.1})
    expect(s.until(mail["id"], "SUCCESS")["result"]["simulated"] is True)
    s.until(late["id"], "SUCCESS")
    dead = s.until(fails["id"], "DEAD")
    expect(dead["reason"] == "RETRIES_EXHAUSTED" and dead["attempt"] == 2, dead)
    attempts = s.get(f"/tasks/{fails['id']}/attempts").json["data"]
    expect([attempt["outcome"] for attempt in attempts] == ["FAILED", "FAILED"], attempts)
    events = [event["type"] for event in s.get(f"/tasks/{fails['id']}/events").json["data"]]
    return ", ".join(event.removeprefix("martlet.task.") for event in events)


@line("2", "the handler's own validation runs at once")
def _(s):
    problem(s.post("/tasks", {"type": "email", "payload": {"subject": "x"}}), 422, "invalid", "/payload/to")
    return "/payload/to"


@line("2", "idempotency: 201, 200 replayed, 422 reused; header and field; a thousand at once")
def _(s):
    body = {"type": "keyed", "payload": {"n": 1}}
    headers = {"Idempotency-Key": "walk-key"}
    first = s.post("/tasks", body, headers=headers)
    again = s.post("/tasks", body, headers=headers)
    expect(first.status == 201 and again.status == 200, (first, again))
    expect(again.headers["idempotent-replayed"] == "true" and again.json["id"] == first.json["id"], again)
    field = s.post("/tasks", '{ "payload": {"n":1}, "idempotencyKey":"walk-key", "type":"keyed" }')
    expect(field.status == 200, field)
    problem(s.post("/tasks", {"type": "keyed", "payload": {"n": 2}}, headers=headers), 422, "idempotency-key-reused")
    problem(s.post("/tasks", {**body, "idempotencyKey": "other"}, headers=headers), 422, "invalid", "/idempotencyKey")
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda n: s.post("/tasks", {"type": "once", "idempotencyKey": "same"}), range(1000)))
    statuses = [answer.status for answer in answers]
    expect(sorted(set(statuses)) == [200, 201] and statuses.count(201) == 1, set(statuses))
    expect(len({answer.json["id"] for answer in answers}) == 1)
    return "1,000 equal ones at once: one 201, 999 times 200, one id"


@line("2", "batches: refs make a graph, all or nothing, a cycle names its path")
def _(s):
    answer = s.post("/tasks/batch", {"tasks": [
        {"type": "email", "ref": "a", "payload": {"to": "a@example.com", "subject": "a"}},
        {"type": "email", "ref": "b", "dependencies": ["a"], "payload": {"to": "b@example.com", "subject": "b"}},
        {"type": "email", "ref": "c", "dependencies": ["a", "b"], "payload": {"to": "c@example.com", "subject": "c"}}]})
    expect(answer.status == 201, answer)
    tasks = answer.json["data"]
    expect([task["ref"] for task in tasks] == ["a", "b", "c"], tasks)
    expect([task["status"] for task in tasks] == ["READY", "PENDING", "PENDING"], tasks)
    s.until(tasks[2]["id"], "SUCCESS")
    graph = s.get("/graphs/" + tasks[0]["graphId"]).json
    expect(len(graph["tasks"]) == 3 and len(graph["edges"]) == 3, graph)
    ring = {"tasks": [{"type": "x", "ref": "a", "dependencies": ["b"]}, {"type": "x", "ref": "b", "dependencies": ["a"]}]}
    detail = problem(s.post("/tasks/batch", ring), 422, "dependency-cycle")["detail"]
    problem(s.post("/tasks/batch", {"tasks": [{"type": "x", "dependencies": ["nope"]}]}), 422, "invalid", "/tasks/0/dependencies/0")
    problem(s.post("/tasks/batch", {"tasks": []}), 422, "invalid", "/tasks")
    return detail


@line("2", "keys in a batch: one of a task's own beside the header's for all others")
def _(s):
    headers = {"Idempotency-Key": "walk-batch"}
    tasks = {"tasks": [{"type": "nobody", "idempotencyKey": "walk-own"}, {"type": "nobody"}]}
    first, again = s.post("/tasks/batch", tasks, headers=headers), s.post("/tasks/batch", tasks, headers=headers)
    expect((first.status, again.status) == (201, 200), (first, again))
    expect([task["id"] for task in first.json["data"]] == [task["id"] for task in again.json["data"]], again)
    tasks["tasks"][1]["type"] = "another"
    problem(s.post("/tasks/batch", tasks, headers=headers), 422, "idempotency-key-reused")
    return "201; 200 with the same two; 422 for another body"


@line("2", "dependencies: HOLD waits and goes on after a retry, CANCEL cascades, RUN runs")
def _(s):
    parent = s.submit("FAIL_SOMETIMES", payload={"probability": 1}, retries=0)["id"]
    mail = {"to": "a@example.com", "subject": "after"}
    hold = s.submit("email", payload=mail, dependencies=[parent])["id"]
    cancel = s.submit("email", payload=mail, dependencies=[parent], onDependencyFailure="CANCEL")["id"]
    below = s.submit("email", payload=mail, dependencies=[cancel], onDependencyFailure="CANCEL")["id"]
    run = s.submit("email", payload=mail, dependencies=[parent], onDependencyFailure="RUN")["id"]
    s.until(parent, "DEAD")
    s.until(run, "SUCCESS")
    expect(s.until(cancel, "CANCELLED")["reason"] == "DEPENDENCY_FAILED")
    s.until(below, "CANCELLED")
    expect(s.task(hold)["status"] == "PENDING")
    unlucky = s.submit("walk-parent", retries=0)["id"]
    waits = s.submit("email", payload=mail, dependencies=[unlucky])["id"]
    lease = take(s, "walk-parent")
    finish(s, lease, "FAILED", error={"type": "X", "message": "no"}, retryable=False)
    s.until(unlucky, "DEAD")
    s.post(f"/tasks/{unlucky}/retry")
    finish(s, take(s, "walk-parent"), "SUCCESS", result=1)
    s.until(waits, "SUCCESS")
    return "PENDING; CANCELLED, DEPENDENCY_FAILED, and so below; SUCCESS"


@line("2", "reading: waitSeconds, filters, include")
def _(s):
    id = s.submit("DELAYED_MESSAGE", payload={"message": "x"}, delaySeconds=0.3, tags=["t-walk"], metadata={"m": "1"})["id"]
    expect(s.get(f"/tasks/{id}?waitSeconds=20").json["status"] == "SUCCESS")
    for query in ("tag=t-walk", "metadata.m=1", "status=SUCCESS&type=DELAYED_MESSAGE", "queue=default&tag=t-walk"):
        expect(id in [task["id"] for task in s.get("/tasks?" + query).json["data"]], query)
    listed = s.get("/tasks?tag=t-walk&include=payload,result").json["data"][0]
    expect(listed["payload"] == {"message": "x"} and "result" in listed, listed)
    problem(s.get(f"/tasks/{uuid.uuid4()}"), 404, "not-found")
    return "by tag, metadata, status, type, queue"


@line("2", "PATCH of waiting tasks; 409 elsewhere")
def _(s):
    id = s.submit("email", payload={"to": "a@example.com", "subject": "x"}, delaySeconds=3600)["id"]
    expect(s.call("PATCH", f"/tasks/{id}", {"priority": 9, "tags": ["p"]}).json["priority"] == 9)
    s.call("PATCH", f"/tasks/{id}", {"availableAt": "2020-01-01T00:00:00Z"})
    s.until(id, "SUCCESS")
    problem(s.call("PATCH", f"/tasks/{id}", {"priority": 1}), 409, "invalid-state")
    return "run now, then 409"


@line("2", "cancel waiting and running tasks; retry; replay")
def _(s):
    id = s.submit("walk-steer")["id"]
    expect(s.post(f"/tasks/{id}/cancel").json["status"] == "CANCELLED")
    expect(s.post(f"/tasks/{id}/cancel").status == 200)
    expect(s.post(f"/tasks/{id}/retry").json["status"] == "READY")
    lease = take(s, "walk-steer")
    expect(s.post(f"/tasks/{id}/cancel").json["cancelRequested"] is True)
    renewed = s.post("/leases/renew", {"leases": [{"leaseId": lease["leaseId"]}]}).json["data"][0]
    expect(renewed["state"] == "CANCEL_REQUESTED", renewed)
    finish(s, lease, "CANCELLED")
    expect(s.task(id)["reason"] == "REQUESTED")
    replay = s.post(f"/tasks/{id}/replay")
    expect(replay.status == 201 and replay.json["replayOf"] == id, replay)
    s.post(f"/tasks/{replay.json['id']}/cancel")
    done = s.submit("email", payload={"to": "a@example.com", "subject": "x"})["id"]
    s.until(done, "SUCCESS")
    problem(s.post(f"/tasks/{done}/cancel"), 409, "invalid-state")
    problem(s.post(f"/tasks/{done}/retry"), 409, "invalid-state")
    return "CANCELLED, READY, CANCEL_REQUESTED, CANCELLED, replayed, 409"


@line("2", "explain: why it does not run")
def _(s):
    def kinds(id):
        return [blocker["kind"] for blocker in s.get(f"/tasks/{id}/explain").json["blockers"]]
    found = {}
    parent = s.submit("walk-explain")["id"]
    child = s.submit("walk-explain", dependencies=[parent])["id"]
    later = s.submit("walk-explain", delaySeconds=600)["id"]
    found["dependency"] = kinds(child)
    found["not-due"] = kinds(later)
    found["no-worker"] = kinds(parent)
    s.call("PATCH", "/queues/walk-paused", {"paused": True})
    found["queue-paused"] = kinds(s.submit("email", queue="walk-paused", payload={"to": "a@example.com", "subject": "x"})["id"])
    s.call("PUT", "/types/walk-paused-type", {"paused": True})
    found["type-paused"] = kinds(s.submit("walk-paused-type")["id"])
    lease = take(s, "walk-explain")
    found["leased"] = kinds(parent)
    finish(s, lease, "SUCCESS")
    found["final"] = kinds(parent)
    for kind, blockers in found.items():
        expect(kind in blockers, f"{kind}: {blockers}")
    return ", ".join(found)


@line("2", "bulk: an empty filter needs all, dryRun, limits, in the background with a rate")
def _(s):
    for _ in range(6):
        s.submit("walk-bulk", delaySeconds=600)
    problem(s.post("/tasks/cancel", {"filter": {}}), 422, "invalid")
    dry = s.post("/tasks/cancel", {"filter": {"type": "walk-bulk"}, "dryRun": True}).json
    expect((dry["matched"], dry["changed"]) == (6, 0), dry)
    some = s.post("/tasks/cancel", {"filter": {"type": "walk-bulk"}, "limit": 2}).json
    expect(some["changed"] == 2, some)
    job = s.post("/tasks/cancel", {"filter": {"type": "walk-bulk", "status": "PENDING"}, "ratePerSecond": 100}).json
    done = eventually(lambda: (lambda job: job if job["status"] == "DONE" else None)(s.get("/bulk/" + job["bulkId"]).json), 60,
                      "the bulk job ends")
    expect(done["changed"] == 4, done)
    return f"6 matched; 2 changed; {done['changed']} changed in the background"


@line("2", "dead letters: list, retry, purge")
def _(s):
    for _ in range(3):
        s.submit("FAIL_SOMETIMES", payload={"probability": 1}, retries=0, tags=["walk-dead"])
    dead = lambda: s.get("/dead-letters?tag=walk-dead").json["data"]
    eventually(lambda: len(dead()) == 3, 60, "three dead letters")
    expect(s.post("/dead-letters/retry", {"filter": {"tag": "walk-dead"}}).json["changed"] == 3)
    eventually(lambda: len(dead()) == 3, 60, "dead once more")
    expect(s.post("/dead-letters/purge", {"filter": {"tag": "walk-dead"}}).json["changed"] == 3)
    expect(dead() == [] and s.get("/tasks?tag=walk-dead").json["data"] == [])
    return "3 dead, retried, dead, purged"


@line("2", "queues: pause and resume, concurrency, depth")
def _(s):
    s.call("PATCH", "/queues/walk-q", {"paused": True})
    id = s.submit("email", queue="walk-q", payload={"to": "a@example.com", "subject": "x"})["id"]
    time.sleep(1.5)
    expect(s.task(id)["status"] == "READY")
    s.call("PATCH", "/queues/walk-q", {"paused": False})
    s.until(id, "SUCCESS")
    s.call("PATCH", "/queues/walk-full", {"maxDepth": 2})
    for _ in range(2):
        s.submit("nobodys", queue="walk-full")
    answer = s.post("/tasks", {"type": "nobodys", "queue": "walk-full"})
    problem(answer, 429, "queue-full")
    expect("retry-after" in answer.headers, answer.headers)
    s.call("PATCH", "/queues/walk-limited", {"concurrency": 2})
    for _ in range(5):
        s.submit("walk-limited", queue="walk-limited")
    leases = s.post("/leases", {"worker": "w", "types": ["walk-limited"], "queues": ["walk-limited"], "limit": 10}).json["leases"]
    expect(len(leases) == 2, leases)
    for lease in leases:
        finish(s, lease, "SUCCESS")
    queue = s.get("/queues/walk-limited").json
    expect(queue["concurrency"] == 2 and queue["depth"]["READY"] == 3, queue)
    return "paused, resumed; 429 Retry-After " + answer.headers["retry-after"] + "; 2 of 5 leased"


@line("2", "concurrencyKey: one at a time, and nobody else waits")
def _(s):
    for _ in range(5):
        s.submit("walk-key", concurrencyKey="tenant-a", metadata={"tenant": "a"})
    s.submit("walk-key", concurrencyKey="tenant-b", metadata={"tenant": "b"})
    got = []
    def ask():
        got.extend(s.post("/leases", {"worker": "w", "types": ["walk-key"], "limit": 10}).json["leases"])
        return len(got) >= 2
    eventually(ask, 60, "two leases")
    expect(sorted(lease["task"]["metadata"]["tenant"] for lease in got) == ["a", "b"], got)
    expect(s.post("/leases", {"worker": "w", "types": ["walk-key"], "limit": 10}).json["leases"] == [])
    for lease in got:
        finish(s, lease, "SUCCESS")
    return "of five of tenant-a and one of tenant-b one each"


@line("2", "types: defaults and pause")
def _(s):
    s.call("PUT", "/types/walk-type", {"defaults": {"queue": "mail", "priority": 8, "retries": 0}, "paused": False})
    def filled():
        task = s.submit("walk-type")
        return task if (task["queue"], task["priority"], task["maxAttempts"]) == ("mail", 8, 1) else None
    eventually(filled, 60, "defaults hold on every node")
    expect(s.get("/types/walk-type").json["defaults"]["queue"] == "mail")
    expect("walk-type" in [type["name"] for type in s.get("/types").json["data"]])
    return "queue mail, priority 8, no retries"


@line("2", "schedules: create, next runs, trigger, one task per tick, delete")
def _(s):
    body = {"name": "walk-every", "everySeconds": 1, "task": {"type": "email", "payload": {"to": "a@example.com", "subject": "tick"}}}
    created = s.post("/schedules", body)
    expect(created.status == 201, created)
    problem(s.post("/schedules", body), 409, "already-exists")
    expect(len(s.get("/schedules/walk-every?next=10").json["nextRuns"]) == 10)
    triggered = s.post("/schedules/walk-every/trigger")
    expect(triggered.status == 201 and triggered.json["scheduleName"] == "walk-every", triggered)
    eventually(lambda: len(s.get("/tasks?scheduleName=walk-every").json["data"]) >= 4, 60, "ticks")
    expect(s.call("DELETE", "/schedules/walk-every").status in (200, 204))
    problem(s.get("/schedules/walk-every"), 404, "not-found")
    cron = s.call("PUT", "/schedules/walk-cron", {"cron": "30 2 * * *", "timeZone": "Europe/Berlin", "task": {"type": "nobodys"}})
    expect(cron.status == 201, cron)
    runs = s.get("/schedules/walk-cron?next=3").json["nextRuns"]
    problem(s.call("PUT", "/schedules/walk-bad", {"cron": "61 * * * *", "task": {"type": "x"}}), 422, "invalid", "/cron")
    s.call("DELETE", "/schedules/walk-cron")
    return f"ticks each second; 02:30 in Berlin is {runs[0]}"


@line("2", "notify: a receiver is told of the end, is listed, and is told again by hand")
def _(s):
    came = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            came.append((self.headers["webhook-id"], body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    target = f"http://127.0.0.1:{receiver.server_port}/hook"
    task = s.submit("FAIL_SOMETIMES", payload={"probability": 1}, retries=0, notify=[{"webhook": target}])
    s.until(task["id"], "DEAD")
    path = f"/notifications?taskId={task['id']}&status=DELIVERED"
    notice = eventually(lambda: s.get(path).json["data"], 120, "the notice is delivered")[0]
    expect(came[0][0] == notice["id"] and came[0][1]["data"]["status"] == "FAILED", came)
    expect(s.post(f"/notifications/{notice['id']}/resend").status == 200, notice)
    eventually(lambda: len(came) > 1, 120, "it comes again")
    expect(came[1][0] == notice["id"], came)
    problem(s.post("/tasks", {"type": "a", "notify": [{"webhook": "ftp://a"}]}), 422, "invalid", "/notify/0/webhook")
    receiver.shutdown()
    return f"FAILED under {notice['id']}, twice"


@line("2", "the event stream is off unless it is turned on")
def _(s):
    problem(s.get("/events/stream"), 409, "stream-off")
    return "409 stream-off"


@line("2", "workers, stats, audit")
def _(s):
    workers = s.get("/workers").json["data"]
    expect(any(worker["kind"] == "node" for worker in workers), workers)
    stats = s.get("/stats").json
    expect(stats["byStatus"]["SUCCESS"] > 0 and "byType" in stats, stats)
    audit = s.get("/audit").json["data"]
    actions = {entry["action"] for entry in audit}
    expect({"queue.update", "type.put", "schedule.put"} & actions, actions)
    return f"{len(workers)} workers, {stats['byStatus']['SUCCESS']} succeeded, audit knows {', '.join(sorted(actions))}"


@line("2", "settings: every one with value and source; overrides for all nodes, validated, audited, taken back")
def _(s):
    def row(key, server=None):
        return next(row for row in s.get("/settings", server=server).json["settings"] if row["key"] == key)

    def everywhere(key, value, source):
        eventually(lambda: all((row(key, place)["value"], row(key, place)["source"]) == (value, source)
                               for place in s.addresses), 60, f"{key} is {value} on all nodes")
    before = s.get("/settings").json["revision"]
    expect(row("tasks.maxRetries")["override"] is None and row("tasks.maxRetries")["source"] == "default")
    place = s.addresses[0]
    changed = s.call("PATCH", "/settings", {"tasks.maxRetries": 9, "tasks": {"leaseSeconds": 33}}, server=place)
    expect(changed.status == 200 and changed.json["revision"] == before + 1, changed)
    task = s.post("/tasks", {"type": "walk-nobody"}, server=place).json
    expect(task["retries"] == 9 and task["leaseSeconds"] == 33, task)
    everywhere("tasks.maxRetries", 9, "fleet")
    problem(s.call("PATCH", "/settings", {"tasks.maxRetries": 101, "auth.jwt.secret": "x"}), 422, "invalid", "/auth.jwt.secret")
    problem(s.call("PATCH", "/settings", {"tasks.maxRetrys": 1}), 422, "invalid", "/tasks.maxRetrys")
    expect(s.post("/settings/revert", {"revision": before}).status == 200)
    everywhere("tasks.maxRetries", 3, "default")
    revisions = s.get("/settings/revisions").json["data"]
    expect([revision["revision"] for revision in revisions[:2]] == [before + 2, before + 1], revisions)
    expect(s.get("/audit?action=settings.update").json["data"], "the audit")
    return "9 retries on all nodes, then 3 again"


# 3. Workers in any language

def take(s, type, **more):
    # A poll that ends at the very moment at which a lease comes gives it back, and the next attempt is another one: so it waits long.
    def ask():
        leases = s.post("/leases", {"worker": "walk", "types": [type], "limit": 1, "waitSeconds": 20, **more}).json["leases"]
        return leases[0] if leases else None
    return eventually(ask, 60, f"a lease of {type}")


def finish(s, lease, outcome, **more):
    answer = s.post("/leases/finish", {"results": [{"leaseId": lease["leaseId"], "outcome": outcome, **more}]})
    expect(answer.status == 200, answer)
    verdict = answer.json["data"][0]
    expect(verdict["state"] == "APPLIED", verdict)
    return verdict


@line("3", "lease, renew with progress and logs, finish; twice is APPLIED again, another's is LOST")
def _(s):
    id = s.submit("walk-lease", payload={"n": 1})["id"]
    lease = take(s, "walk-lease")
    expect(lease["attempt"] == 1 and lease["task"]["payload"] == {"n": 1} and lease["expiresInSeconds"] > 0, lease)
    renewed = s.post("/leases/renew", {"leases": [
        {"leaseId": lease["leaseId"], "progress": {"percent": 50, "message": "half"}, "logs": ["one"]},
        {"leaseId": lease["leaseId"][:-1] + ("0" if lease["leaseId"][-1] != "0" else "1")}]}).json["data"]
    expect([verdict["state"] for verdict in renewed] == ["RENEWED", "LOST"], renewed)
    finish(s, lease, "SUCCESS", result={"ok": True}, logs=["two"])
    finish(s, lease, "SUCCESS", result={"ok": True}, logs=["two"])
    late = s.post("/leases/finish", {"results": [{"leaseId": lease["leaseId"], "outcome": "FAILED"}]}).json["data"][0]
    expect(late["state"] == "LOST", late)
    task = s.task(id)
    expect(task["status"] == "SUCCESS" and task["result"] == {"ok": True}, task)
    logs = s.get(f"/tasks/{id}/attempts").json["data"][0]["logs"]
    expect(logs == ["one", "two"], logs)
    return "RENEWED, LOST, APPLIED, APPLIED, LOST"


@line("3", "FAILED with a delay, SNOOZED, RELEASED; a silent worker loses its lease")
def _(s):
    id = s.submit("walk-outcomes", retries=5)["id"]
    finish(s, take(s, "walk-outcomes"), "FAILED", error={"type": "X", "message": "m"}, delaySeconds=0.1)
    finish(s, take(s, "walk-outcomes"), "SNOOZED", delaySeconds=0.1)
    finish(s, take(s, "walk-outcomes"), "RELEASED")
    finish(s, take(s, "walk-outcomes"), "SUCCESS")
    outcomes = [attempt["outcome"] for attempt in s.get(f"/tasks/{id}/attempts").json["data"]]
    expect(outcomes == ["FAILED", "SNOOZED", "RELEASED", "SUCCESS"], outcomes)
    silent = s.submit("walk-silent", leaseSeconds=5, retries=1, backoff={"strategy": "fixed", "baseSeconds": 0.1})["id"]
    take(s, "walk-silent")
    again = take(s, "walk-silent")
    expect(again["attempt"] == 2, again)
    finish(s, again, "SUCCESS")
    ends = [attempt["outcome"] for attempt in s.get(f"/tasks/{silent}/attempts").json["data"]]
    expect(ends == ["LOST", "SUCCESS"], ends)
    return ", ".join(outcomes + ends)


@line("3", "the Python worker")
def _(s):
    environment = {**os.environ, "MARTLET_SERVER": s.addresses[-1]}
    worker = subprocess.Popen([sys.executable, os.path.join(EXAMPLES, "PythonWorker", "worker.py")], env=environment,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        id = s.submit("greet", payload={"names": ["Ada", "Grace"]})["id"]
        return s.until(id, "SUCCESS")["result"]["greetings"]
    finally:
        worker.terminate()
        worker.wait(120)


@line("3", "martlet work: any program is a handler")
def _(s):
    script = 'read -r payload; echo "got $payload" >&2; case "$payload" in *bad*) exit 65;; esac; echo "{\\"attempt\\":$MARTLET_ATTEMPT}"'
    worker = subprocess.Popen([s.martlet, "work", "--server", s.addresses[0], "--type", "walk-sh", "--", "sh", "-c", script],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        good = s.submit("walk-sh", payload={"x": 1})["id"]
        bad = s.submit("walk-sh", payload="bad")["id"]
        result = s.until(good, "SUCCESS")["result"]
        expect(s.until(bad, "DEAD")["reason"] == "NON_RETRYABLE")
        logs = s.get(f"/tasks/{good}/attempts").json["data"][0]["logs"]
        return f"{result}, {logs}, 65 is NON_RETRYABLE"
    finally:
        worker.terminate()
        expect(worker.wait(120) == 0, "SIGTERM drains and exits 0")


# 4 and 9. What is open

@line("4", "health, metrics, version, the document and its page")
def _(s):
    expect(s.get("/health/live").status == 200)
    # The store has a second to answer, and may need more on a loaded machine.
    eventually(lambda: s.get("/health/ready").json["status"] == "ready", 120, "the node is ready")
    expect("martlet_tasks_submitted_total" in s.get("/metrics").body)
    document = s.get("/openapi.json").json
    expect(document["openapi"].startswith("3.1") and "/tasks" in document["paths"], list(document))
    expect("text/html" in s.get("/docs").headers["content-type"])
    expect(s.get("/").status in (200, 301, 302, 303, 307, 308))
    return f"{len(document['paths'])} paths in the document"


# 6. Command line

@line("6", "submit --wait, tasks, queues, types, schedules, workers, stats; exit codes")
def _(s):
    def run(*arguments, server=None):
        done = subprocess.run([s.martlet, *arguments, "--server", server or s.addresses[0]], capture_output=True, text=True,
                              timeout=300)
        expect(len(done.stderr.splitlines()) <= 1 or done.returncode == 0, done.stderr)
        return done
    waited = run("submit", "email", "--payload", '{"to":"a@example.com","subject":"x"}', "--wait")
    expect(waited.returncode == 0, waited)
    id = waited.stdout.split()[0]
    for arguments in (
            ["tasks", "list"], ["tasks", "show", id], ["tasks", "explain", id], ["dead-letters", "list"], ["queues", "list"],
            ["queues", "show", "default"], ["queues", "set", "walk-cli", "--concurrency", "3"], ["queues", "pause", "walk-cli"],
            ["queues", "resume", "walk-cli"], ["types", "list"], ["types", "show", "email"], ["schedules", "list"], ["workers"],
            ["stats"], ["audit"], ["settings", "list"], ["settings", "set", "tasks.maxRetries=4"], ["settings", "unset", "tasks.maxRetries"],
            ["settings", "history"], ["settings", "revert"], ["settings", "revert", "0"]):
        for form in ([], ["--json"]):
            done = run(*arguments, *form)
            expect(done.returncode == 0, f"{arguments}: {done.stderr}")
            if form:
                json.loads(done.stdout)
    codes = [run("tasks", "show", str(uuid.uuid4())).returncode, run("tasks", "show", "x").returncode,
             run("stats", server="http://127.0.0.1:9").returncode]
    expect(codes == [4, 2, 3], codes)
    return "all of them, as tables and as JSON; 4 not found, 2 usage, 3 unreachable"


@line("6", "config check and version, without a server")
def _(s):
    done = subprocess.run([s.martlet, "version"], capture_output=True, text=True, timeout=120)
    expect(done.returncode == 0, done)
    wrong = subprocess.run([s.martlet, "config", "check", "--config", "/dev/stdin"], input="servr:\n  port: 1\n",
                           capture_output=True, text=True, timeout=120)
    expect(wrong.returncode != 0 and "server" in wrong.stderr + wrong.stdout, wrong)
    return done.stdout.strip() + "; " + (wrong.stderr + wrong.stdout).strip().splitlines()[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--martlet", required=True, help="the program")
    parser.add_argument("--only", help="lines that contain this text")
    parser.add_argument("servers", nargs="+")
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # what is started here has to hear signals, whoever started us
    servers = Servers(options.servers)
    servers.martlet = options.martlet
    broken = 0
    for section, what, body in LINES:
        if options.only and options.only not in what:
            continue
        try:
            print(f"ok   {section}. {what}\n       {body(servers)}", flush=True)
        except Exception as error:  # one broken line must not hide the others
            broken += 1
            print(f"FAIL {section}. {what}\n       {type(error).__name__}: {str(error)[:1000]}", flush=True)
    print(f"{len(LINES) - broken} of {len(LINES)} lines are as they should be")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
