"""Sidekiq, Debian's 6.4: lists of a Redis server, worked by threads of Ruby. A task leaves Redis when it is fetched, so one
that is under way is lost with its worker; nothing is kept of those that ended."""

import os
import subprocess

from scenarios import Peer, main

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sidekiq_worker.rb")


def ruby(*arguments):
    return subprocess.run(["ruby", SCRIPT, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


class SidekiqPeer(Peer):
    def submit_for(self, seconds, clients, batch, start):
        return float(ruby("submit", seconds, clients, batch, start))

    def fill(self, count):
        ruby("fill", count)

    def submit_at(self, rate, seconds):
        ruby("pace", rate, seconds)

    def worker(self):
        return ["sidekiq", "-r", SCRIPT, "-c", os.environ.get("PEER_CONCURRENCY", "10")]


if __name__ == "__main__":
    main(SidekiqPeer())
