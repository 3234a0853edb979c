#!/usr/bin/env python3
"""A Martlet worker in Python, with nothing but the standard library. The protocol is explained in docs/workers.md.

    MARTLET_SERVER=http://127.0.0.1:8080 Examples/PythonWorker/worker.py
    martlet submit greet --payload '{"names": ["Ada", "Grace"]}' --wait

To make it yours, change `greet` and HANDLERS.
"""
import http.client
import json
import os
import signal
import socket
import threading
import time
import traceback
import urllib.error
import urllib.request


def greet(job):
    greetings = []
    names = job.payload.get("names")
    if not isinstance(names, list):
        raise Permanent("names must be a list")
    for number, name in enumerate(names):
        job.check()  # raises when the work is not wanted any more
        job.progress(100 * number / len(names), f"greeting {name}")
        job.log(f"hello, {name}")
        greetings.append(f"Hello, {name}!")
        job.stop.wait(job.payload.get("secondsEach", 0))
    return {"greetings": greetings}


HANDLERS = {"greet": greet}
SLOTS = 4
WAIT_SECONDS = 5  # of a long poll: a drain takes no longer than this and GRACE_SECONDS
GRACE_SECONDS = 20
SERVER = os.environ.get("MARTLET_SERVER", "http://127.0.0.1:8080").rstrip("/")
WORKER = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"


# Not there, broken off, or it says no.
TROUBLE = (OSError, http.client.HTTPException)


class Permanent(Exception):
    """A failure that no retry can mend."""


class Stopped(Exception):
    """Raised in a handler by `job.check`."""


def call(path, body, timeout=30):
    headers = {"Content-Type": "application/json"}
    if os.environ.get("MARTLET_API_KEY"):
        headers["X-API-Key"] = os.environ["MARTLET_API_KEY"]
    request = urllib.request.Request(SERVER + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return json.load(answer)


class Job:
    """One attempt of one task, as its handler sees it."""

    def __init__(self, lease, held_since):
        task = lease["task"]
        self.lease_id = lease["leaseId"]
        self.task_id, self.type, self.attempt = task["id"], task["type"], lease["attempt"]
        self.payload = task["payload"]
        self.stop = threading.Event()
        self.outcome_if_stopped = None  # None: report nothing, the lease is lost
        self.lease_seconds = task["leaseSeconds"]
        self.times_out_at = held_since + task["timeoutSeconds"]
        self.prolonged(held_since, lease["expiresInSeconds"])
        self.state, self.lines = None, []

    def prolonged(self, since, seconds):
        # Counted from before the call was sent: the lease never seems longer than the server takes it to be.
        self.ends_at = since + seconds
        self.renew_at = since + self.lease_seconds / 3

    def progress(self, percent, message=None):
        self.state = {"percent": percent, "message": message}

    def log(self, line):
        self.lines = (self.lines + [line])[-1000:]

    def check(self):
        if self.stop.is_set():
            raise Stopped()

    def end(self, outcome):
        if not self.stop.is_set():
            self.outcome_if_stopped = outcome
            self.stop.set()


class Worker:
    def __init__(self):
        self.draining = threading.Event()
        self.jobs = {}
        self.lock = threading.Lock()

    def run(self):
        signal.signal(signal.SIGTERM, lambda *_: self.draining.set())
        signal.signal(signal.SIGINT, lambda *_: self.draining.set())
        threading.Thread(target=self.keep_leases, daemon=True).start()
        while not self.draining.is_set():
            free = SLOTS - len(self.jobs)
            if free == 0:
                time.sleep(0.05)
                continue
            try:
                self.take(free)
            except TROUBLE as error:
                print(f"cannot get work: {error}", flush=True)
                self.draining.wait(1)
        self.drain()

    def take(self, limit):
        sent = time.monotonic()
        body = {"worker": WORKER, "types": list(HANDLERS), "limit": limit, "waitSeconds": WAIT_SECONDS}
        answer = call("/leases", body, WAIT_SECONDS + 30)
        for lease in answer["leases"]:
            job = Job(lease, sent + answer["heldSeconds"])
            if self.draining.is_set():
                self.finish(job, {"outcome": "RELEASED"})
                continue
            with self.lock:
                self.jobs[job.lease_id] = job
            threading.Thread(target=self.carry_out, args=(job,), daemon=True).start()

    def carry_out(self, job):
        try:
            report = {"outcome": "SUCCESS", "result": HANDLERS[job.type](job)}
        except Exception as error:
            report = self.failure(job, error)
        if report:
            self.finish(job, report)
        with self.lock:
            del self.jobs[job.lease_id]

    def failure(self, job, error):
        if job.stop.is_set():  # whatever the handler raised: it was asked to stop
            return job.outcome_if_stopped
        text = {"type": type(error).__name__, "message": str(error), "stack": traceback.format_exc()}
        return {"outcome": "FAILED", "error": text, "retryable": not isinstance(error, Permanent)}

    def finish(self, job, report):
        """Until the server has answered: a report may be repeated, the answer is the same."""
        body = {"results": [{"leaseId": job.lease_id, "logs": job.lines, **report}]}
        while True:
            try:
                answer = call("/leases/finish", body)["data"][0]
                print(job.task_id, report["outcome"], answer["state"], flush=True)
                return
            except urllib.error.HTTPError as error:
                if error.code not in (408, 429, 503):
                    print(f"cannot report {job.task_id}: {error}", flush=True)
                    return
            except TROUBLE:
                pass
            time.sleep(0.5)

    def keep_leases(self):
        while True:
            time.sleep(0.1)
            now = time.monotonic()
            with self.lock:
                jobs = list(self.jobs.values())
            for job in jobs:
                if now >= job.times_out_at:
                    error = {"type": "TIMEOUT", "message": "the attempt ran past its timeoutSeconds"}
                    job.end({"outcome": "FAILED", "error": error})
                elif now >= job.ends_at - job.lease_seconds / 10:
                    job.end(None)  # it will be somebody else's soon
            due = [job for job in jobs if now >= job.renew_at]
            if due:
                self.renew(due)

    def renew(self, jobs):
        sent = time.monotonic()
        leases = [{"leaseId": job.lease_id, "progress": job.state} for job in jobs]
        try:
            answers = call("/leases/renew", {"leases": leases}, timeout=2)["data"]
        except TROUBLE as error:
            print(f"cannot renew {len(jobs)} leases: {error}", flush=True)
            for job in jobs:
                job.renew_at = sent + job.lease_seconds / 10
            return
        for job, answer in zip(jobs, answers):
            if answer["state"] == "LOST":
                job.end(None)
            else:
                job.prolonged(sent, answer["expiresInSeconds"])
            if answer["state"] == "CANCEL_REQUESTED":
                job.end({"outcome": "CANCELLED"})

    def drain(self):
        print("draining", flush=True)
        self.wait_for_jobs(GRACE_SECONDS)
        with self.lock:
            late = list(self.jobs.values())
        for job in late:
            job.end({"outcome": "RELEASED"})
        self.wait_for_jobs(5)

    def wait_for_jobs(self, seconds):
        end = time.monotonic() + seconds
        while self.jobs and time.monotonic() < end:
            time.sleep(0.05)


if __name__ == "__main__":
    print(f"{WORKER} works for {SERVER}", flush=True)
    Worker().run()
