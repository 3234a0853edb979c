"""Breaks the files that check.py holds against each other, one at a time, and sees that each fault is found. Called by
`scripts/lint-deploy --self-test` with the copy that check.py has passed."""

import pathlib
import subprocess
import sys

# A file of the copy, what stands there, what shall stand there instead, and words of the fault.
OVERLAY = "built/production-with-monitoring.yaml"
LOCAL = "built/minikube.yaml"
BREAKS = [
    (OVERLAY, "MARTLET_REDIS_URL", "MARTLET_REDIS_ADDRESS", "is no setting"),
    (OVERLAY, "key: redis-url", "key: redis-address", "the Secret has no redis-address"),
    (OVERLAY, "path: /health/ready", "path: /ready", "readiness probe asks for /ready"),
    (OVERLAY, "containerPort: 9464", "containerPort: 9465", "names the ports"),
    (OVERLAY, "terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 30", "is killed before"),
    (OVERLAY, "enableServiceLinks: false", "enableServiceLinks: true", "has service links"),
    (OVERLAY, "runAsUser: 10001", "runAsUser: 10002", "another user than the image's"),
    (OVERLAY, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "can write its root"),
    (OVERLAY, "automountServiceAccountToken: false", "automountServiceAccountToken: true", "mounts a token"),
    (OVERLAY, "image: docker.io/example/martlet:0.1.0", "image: docker.io/example/martlet:latest", "has no version"),
    (OVERLAY, "        - --roles\n        - notifier", "        - --roles\n        - notifer", "has the roles ['notifer']"),
    (OVERLAY, "        - --roles\n        - notifier", "        - --roles\n        - worker", "the roles of its nodes are"),
    (OVERLAY, "targetPort: metrics", "targetPort: metric", "the port metric is not there"),
    (OVERLAY, "name: martlet_ready_tasks", "name: martlet_tasks_ready", "the adapter has no martlet_tasks_ready"),
    (OVERLAY, "  shutdownGraceSeconds: 25", "  shutdownGraceSeconds: 250", "is killed before"),
    (OVERLAY, "      apiKeys: true", "      apiKey: true", "auth.apiKey is no setting"),
    (OVERLAY, "          name: grafana-providers", "          name: grafana-provider", "there is no ConfigMap grafana-provider"),
    (LOCAL, "redis://:$(REDIS_PASSWORD)@", "redis://:$(REDIS_PASS)@", "do not stand before it"),
    (LOCAL, "    - port: amqp\n      protocol: TCP", "    - port: rabbitmq\n      protocol: TCP", "rabbitmq has no port rabbitmq"),
    ("deploy/compose.yaml", "MARTLET_LOG_LEVEL:", "MARTLET_LOGLEVEL:", "MARTLET_LOGLEVEL is no setting"),
    ("deploy/compose.yaml", "stop_grace_period: 45s", "stop_grace_period: 20s", "is killed while it drains"),
    ("deploy/compose.yaml", '"127.0.0.1:8081:8080"', '"8081:8080"', "publishes 8081:8080 to everybody"),
    ("deploy/compose.yaml", "file: compose/rabbitmq.conf", "file: compose/rabbit.conf", "is neither there nor made"),
    ("deploy/compose/prometheus.yaml", '"node-2:8080"', '"node-3:8080"', "Prometheus asks"),
    ("deploy/systemd/martlet.service", "TimeoutStopSec=45s", "TimeoutStopSec=25s", "is killed while it drains"),
    ("deploy/Dockerfile", "librdkafka1 ", "", "docs/operations.md names"),
    ("deploy/Dockerfile", "SWIFT_IMAGE=docker.io/library/swift:6.3.1-bookworm", "SWIFT_IMAGE=docker.io/library/swift:6.2-bookworm",
     "the image is built on"),
    ("deploy/kubernetes/components/autoscaling/prometheus-adapter.yaml", 'martlet_queue_tasks{status', 'martlet_queued_tasks{status',
     "which no node tells"),
]


def main() -> None:
    copy = pathlib.Path(sys.argv[1])
    checker = pathlib.Path(__file__).with_name("check.py")
    missed = 0
    for name, old, new, words in BREAKS:
        path = copy / name
        whole = path.read_text()
        if old not in whole:
            print(f"{name}: has no {old!r} to break", file=sys.stderr)
            missed += 1
            continue
        path.write_text(whole.replace(old, new))
        run = subprocess.run([sys.executable, checker, copy], capture_output=True, text=True)
        path.write_text(whole)
        if run.returncode == 0 or words not in run.stderr or "Traceback" in run.stderr:
            print(f"{name}: {old!r} -> {new!r} was not told as {words!r}: {run.stderr[-500:]}", file=sys.stderr)
            missed += 1
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
