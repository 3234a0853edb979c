#!/usr/bin/env python3
"""Writes the dashboards of Martlet into dashboards/, from what is said here of each panel: its question, its unit, its queries.

With --check it writes nothing and fails where a file is not what it would write. Called by scripts/lint-monitoring so.
"""

import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).parent / "dashboards"

# What every series is narrowed down to. Each node tells the same of what all nodes share, hence `max by` for these.
JOB = 'job=~"$job"'
QUEUE = JOB + ', queue=~"$queue"'
LANE = QUEUE + ', type=~"$type"'
NODE = JOB + ', instance=~"$instance"'
RATE = "[$__rate_interval]"
CALLS = 'route!~"/health/.*|/metrics"'


def quantile(share, metric, selector, *by):
    """The time within which this share of all ended."""
    labels = ", ".join(("le",) + by)
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{{{selector}}}{RATE})))"


def per_minute(metric, selector, *by):
    grouping = f" by ({', '.join(by)})" if by else ""
    return f"60 * sum{grouping} (rate({metric}{{{selector}}}{RATE}))"


def stored(selector, *by):
    """Tasks as the store counts them, told by every node alike."""
    grouping = f" by ({', '.join(by)})" if by else ""
    return f"sum{grouping} (max by (job, queue, status) (martlet_queue_tasks{{{selector}}}))"


# --- Panels

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, ORANGE, RED = "green", "orange", "red"


def panel(kind, title, description, queries, *, unit, width, height, defaults=None, options=None, instant=False):
    targets = []
    for index, (expression, legend) in enumerate(queries):
        target = {"datasource": SOURCE, "refId": chr(65 + index), "expr": expression, "legendFormat": legend}
        target |= {"instant": True, "range": False} if instant else {"instant": False, "range": True}
        if kind == "table":
            target["format"] = "table"
        targets.append(target)
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": unit, **(defaults or {})}, "overrides": []},
        "options": options or {},
    }


def steps(*pairs):
    """Colours from a value on: None is from the least one."""
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in pairs]}


def chart(title, description, *queries, unit="short", width=8, height=8, stacked=False, top=None, limit=None):
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False}
    if stacked:
        custom |= {"stacking": {"mode": "normal", "group": "A"}, "fillOpacity": 40}
    defaults = {"custom": custom, "min": 0}
    if top is not None:
        defaults["max"] = top
    if limit is not None:
        defaults["thresholds"] = steps((GREEN, None), (RED, limit))
        custom["thresholdsStyle"] = {"mode": "line"}
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel(
        "timeseries", title, description, queries, unit=unit, width=width, height=height, defaults=defaults,
        options=options)


def number(title, description, expression, *, unit="short", width=3, colors=((GREEN, None),), mappings=None):
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "auto",
        "orientation": "auto",
        "justifyMode": "auto",
    }
    defaults = {"thresholds": steps(*colors), "mappings": mappings or []}
    return panel(
        "stat", title, description, [(expression, "")], unit=unit, width=width, height=4, defaults=defaults,
        options=options)


def table(title, description, expression, columns, *, unit="short", width=8, height=8):
    """One row a series; `columns` are its labels, then what its value is called."""
    built = panel(
        "table", title, description, [(expression, "")], unit=unit, width=width, height=height, instant=True,
        options={"showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": columns[-1], "desc": True}]})
    names = columns[:-1] + ["Value"]
    built["transformations"] = [
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True},
                "indexByName": {name: index for index, name in enumerate(names)},
                "renameByName": {"Value": columns[-1]},
            },
        }
    ]
    return built


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": 24, "h": 1}}


# --- Dashboards


def variable(name, label, metric):
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": SOURCE,
        "query": {"query": f"label_values({metric}, {name})", "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "hide": 0,
        "regex": "",
        "skipUrlSync": False,
        "options": [],
    }


VARIABLES = {
    "datasource": {
        "type": "datasource",
        "name": "datasource",
        "label": "Prometheus",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "regex": "",
        "multi": False,
        "includeAll": False,
        "skipUrlSync": False,
        "options": [],
        "refresh": 1,
    },
    "job": variable("job", "Installation", "martlet_build_info"),
    "instance": variable("instance", "Node", 'martlet_build_info{job=~"$job"}'),
    "queue": variable("queue", "Queue", 'martlet_queue_tasks{job=~"$job"}'),
    "type": variable("type", "Type", 'martlet_tasks_submitted_total{job=~"$job", queue=~"$queue"}'),
}


def dashboard(name, title, description, variables, panels):
    x = y = tallest = 0
    for index, item in enumerate(panels):
        place = item["gridPos"]
        if x + place["w"] > 24 or item["type"] == "row":
            x, y, tallest = 0, y + tallest, 0
        place |= {"x": x, "y": y}
        x, tallest = x + place["w"], max(tallest, place["h"])
        item["id"] = index + 1
    return {
        "uid": f"martlet-{name}",
        "title": f"Martlet: {title}",
        "description": description,
        "tags": ["martlet"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "schemaVersion": 36,
        "version": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [
            {
                "title": "Martlet",
                "type": "dashboards",
                "tags": ["martlet"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }
        ],
        "templating": {"list": [VARIABLES[name] for name in ["datasource", "job"] + variables]},
        "annotations": {"list": []},
        "panels": panels,
    }


def overview():
    return dashboard(
        "overview", "overview", "Whether all is well, and if not, where to look.", ["queue", "type"],
        [
            row("Now"),
            number(
                "Nodes", "Nodes that Prometheus gets metrics from.", f"count(martlet_build_info{{{JOB}}})",
                colors=((RED, None), (GREEN, 1))),
            number("Workers", "Live workers, in nodes and elsewhere.", f"max(martlet_workers{{{JOB}}})"),
            number(
                "Database", "Whether every node can use it.", f"min(martlet_store_up{{{JOB}}})",
                colors=((RED, None), (GREEN, 1)),
                mappings=[
                    {"type": "value", "options": {"0": {"text": "down", "index": 0}, "1": {"text": "up", "index": 1}}}
                ]),
            number("Ready", "Tasks that a worker could take now.", stored(QUEUE + ', status="READY"')),
            number("Running", "Tasks that are being carried out.", stored(QUEUE + ', status="RUNNING"')),
            number(
                "In retry", "Tasks that failed and wait for their next attempt.", stored(QUEUE + ', status="RETRY"'),
                colors=((GREEN, None), (ORANGE, 1))),
            number(
                "Dead letters", "Tasks that ended DEAD and are still stored.", stored(QUEUE + ', status="DEAD"'),
                colors=((GREEN, None), (ORANGE, 1))),
            number(
                "Oldest ready", "How long the oldest READY task has waited.",
                f"max(martlet_queue_oldest_ready_seconds{{{QUEUE}}})", unit="s",
                colors=((GREEN, None), (ORANGE, 60), (RED, 300))),
            row("Tasks"),
            chart(
                "Tasks by status", "What waits, runs and has ended, as far as it is still stored.",
                (stored(QUEUE, "status"), "{{status}}"), width=12),
            chart(
                "Throughput per minute", "Tasks that come in, attempts that begin, attempts that succeed.",
                (per_minute("martlet_tasks_submitted_total", LANE), "submitted"),
                (per_minute("martlet_attempts_started_total", LANE), "started"),
                (per_minute("martlet_attempts_total", LANE + ', outcome="SUCCESS"'), "succeeded"), width=12),
            chart(
                "Attempts per minute by outcome", "How attempts end.",
                (per_minute("martlet_attempts_total", LANE, "outcome"), "{{outcome}}"), stacked=True),
            chart(
                "Retries per minute", "Attempts that failed with a further one to come, beside the hour's average: a spike stands out.",
                (per_minute("martlet_retries_total", LANE), "now"),
                (f"60 * sum(rate(martlet_retries_total{{{LANE}}}[1h]))", "the hour's average")),
            chart(
                "Dead letters per minute", "Tasks that end DEAD, by type.",
                (per_minute("martlet_dead_letters_total", LANE, "type"), "{{type}}"), stacked=True),
            chart(
                "Wait", "How long tasks are READY before an attempt begins.",
                (quantile(0.5, "martlet_task_wait_seconds", LANE), "half"),
                (quantile(0.95, "martlet_task_wait_seconds", LANE), "95 %"),
                (quantile(0.99, "martlet_task_wait_seconds", LANE), "99 %"), unit="s"),
            chart(
                "Run", "How long attempts run.",
                (quantile(0.5, "martlet_task_run_seconds", LANE), "half"),
                (quantile(0.95, "martlet_task_run_seconds", LANE), "95 %"),
                (quantile(0.99, "martlet_task_run_seconds", LANE), "99 %"), unit="s"),
            table(
                "Nobody takes these", "READY tasks of types that no live worker handles in their queue.",
                f"max by (queue, type) (martlet_tasks_without_worker{{{LANE}}}) > 0", ["queue", "type", "waiting"]),
            row("Edges"),
            chart(
                "Requests per second", "HTTP requests by the first digit of their status.",
                (
                    "sum by (class) (label_replace(rate(martlet_http_requests_total{" + JOB + "}" + RATE
                    + '), "class", "${1}xx", "status", "(.).."))',
                    "{{class}}",
                ), unit="reqps"),
            chart(
                "Error ratio", "Share of requests that are answered 5xx; the line is what the budget of 99.9 % allows.",
                (f"job:martlet_http_errors:ratio_rate5m{{{JOB}}}", "{{job}}, 5 minutes"),
                (f"job:martlet_http_errors:ratio_rate1h{{{JOB}}}", "{{job}}, an hour"), unit="percentunit", limit=0.001),
            chart(
                "Database", "How long calls of the store take.",
                (quantile(0.5, "martlet_store_seconds", JOB), "half"),
                (quantile(0.99, "martlet_store_seconds", JOB), "99 %"), unit="s"),
            chart(
                "Events and notices that wait", "What brokers, the stream and people have not been told of yet.",
                (f"max by (sink) (martlet_outbox_events{{{JOB}}})", "{{sink}}"),
                (f"max(martlet_notices_waiting{{{JOB}}})", "notices")),
            chart(
                "Memory", "Resident memory of each node.",
                (f"process_resident_memory_bytes{{{JOB}}} and on (job, instance) martlet_build_info", "{{instance}}"),
                unit="bytes"),
            chart(
                "Processor", "Cores that each node uses.",
                (
                    f"rate(process_cpu_seconds_total{{{JOB}}}{RATE}) and on (job, instance) martlet_build_info",
                    "{{instance}}",
                )),
        ])


def queues():
    return dashboard(
        "queues", "queues", "What waits in which queue, for how long, and how fast it goes.", ["queue", "type"],
        [
            row("Depth"),
            chart(
                "Ready", "Tasks that a worker could take now.",
                (stored(QUEUE + ', status="READY"', "queue"), "{{queue}}"), stacked=True),
            chart(
                "Waiting for their time", "PENDING and RETRY: not due, or waiting for other tasks.",
                (stored(QUEUE + ', status=~"PENDING|RETRY"', "queue", "status"), "{{queue}} {{status}}"), stacked=True),
            chart(
                "Running", "Tasks that are being carried out.",
                (stored(QUEUE + ', status="RUNNING"', "queue"), "{{queue}}"), stacked=True),
            chart(
                "Oldest ready", "How long the oldest READY task of each queue has waited: the best single sign of a backlog.",
                (f"max by (queue) (martlet_queue_oldest_ready_seconds{{{QUEUE}}})", "{{queue}}"), unit="s", width=12,
                limit=300),
            table(
                "Nobody takes these", "READY tasks of types that no live worker handles in their queue.",
                f"max by (queue, type) (martlet_tasks_without_worker{{{LANE}}}) > 0", ["queue", "type", "waiting"],
                width=12),
            row("Flow"),
            chart(
                "Submitted per minute", "Tasks that come in.",
                (per_minute("martlet_tasks_submitted_total", LANE, "queue"), "{{queue}}"), stacked=True),
            chart(
                "Started per minute", "Attempts that begin.",
                (per_minute("martlet_attempts_started_total", LANE, "queue"), "{{queue}}"), stacked=True),
            chart(
                "Succeeded per minute", "Attempts that end well.",
                (per_minute("martlet_attempts_total", LANE + ', outcome="SUCCESS"', "queue"), "{{queue}}"), stacked=True),
            row("Time"),
            chart(
                "Wait, 95 %", "How long tasks are READY before an attempt begins, by queue.",
                (quantile(0.95, "martlet_task_wait_seconds", LANE, "queue"), "{{queue}}"), unit="s", width=12),
            chart(
                "Run, 95 %", "How long attempts run, by type.",
                (quantile(0.95, "martlet_task_run_seconds", LANE, "type"), "{{type}}"), unit="s", width=12),
        ])


def workers():
    return dashboard(
        "workers", "workers", "Who carries tasks out, how busy they are, and what they lose.",
        ["instance", "queue", "type"],
        [
            row("Room"),
            number("Workers", "Live workers, in nodes and elsewhere.", f"max(martlet_workers{{{JOB}}})", width=6),
            number("Slots", "Attempts that nodes may run at once.", f"sum(martlet_worker_slots{{{NODE}}})", width=6),
            number(
                "Busy", "Share of these slots that is taken.",
                f"sum(martlet_worker_busy{{{NODE}}}) / sum(martlet_worker_slots{{{NODE}}})", unit="percentunit", width=6,
                colors=((GREEN, None), (ORANGE, 0.9))),
            number(
                "Without a worker", "READY tasks that nobody takes.",
                f"sum(max by (job, queue, type) (martlet_tasks_without_worker{{{LANE}}})) or vector(0)", width=6,
                colors=((GREEN, None), (RED, 1))),
            chart(
                "Busy", "Share of its slots that each node uses.",
                (f"martlet_worker_busy{{{NODE}}} / martlet_worker_slots{{{NODE}}}", "{{instance}}"),
                unit="percentunit", top=1),
            chart(
                "Leases", "Tasks that each node's worker holds, those waiting for a slot or for their report included.",
                (f"martlet_leases{{{NODE}}}", "{{instance}}"), stacked=True),
            chart(
                "Started per minute", "Attempts that begin, by the node that gave them out.",
                (per_minute("martlet_attempts_started_total", NODE + ', queue=~"$queue", type=~"$type"', "instance"),
                 "{{instance}}"), stacked=True),
            row("Attempts"),
            chart(
                "Attempts per minute by outcome", "How attempts end.",
                (per_minute("martlet_attempts_total", LANE, "outcome"), "{{outcome}}"), stacked=True),
            chart(
                "Lost", "Attempts whose worker fell silent, and attempts whose lease a node could not keep, per minute.",
                (per_minute("martlet_attempts_total", LANE + ', outcome="LOST"'), "fell silent"),
                (per_minute("martlet_leases_lost_total", LANE), "lease lost")),
            chart(
                "Run, 95 %", "How long attempts run, by type.",
                (quantile(0.95, "martlet_task_run_seconds", LANE, "type"), "{{type}}"), unit="s"),
            row("Nodes"),
            chart(
                "Processor", "Cores that each node uses.",
                (
                    f"rate(process_cpu_seconds_total{{{NODE}}}{RATE}) and on (job, instance) martlet_build_info",
                    "{{instance}}",
                )),
            chart(
                "Memory", "Resident memory of each node.",
                (f"process_resident_memory_bytes{{{NODE}}} and on (job, instance) martlet_build_info", "{{instance}}"),
                unit="bytes"),
            table(
                "Versions", "What runs where.",
                f"martlet_build_info{{{NODE}}}", ["instance", "version", "nodes"]),
        ])


def dead_letters():
    finished = f"(sum(rate(martlet_dead_letters_total{{{LANE}}}{RATE})) + sum(rate(martlet_attempts_total{{{LANE}, outcome=\"SUCCESS\"}}{RATE})))"
    return dashboard(
        "dead-letters", "dead letters", "What failed for good, what is about to, and who was told.", ["queue", "type"],
        [
            row("Dead letters"),
            number(
                "Stored", "Tasks that ended DEAD and are still stored.", stored(QUEUE + ', status="DEAD"'), width=6,
                colors=((GREEN, None), (ORANGE, 1))),
            number(
                "In the last hour", "Tasks that ended DEAD.",
                f"sum(increase(martlet_dead_letters_total{{{LANE}}}[1h]))", width=6,
                colors=((GREEN, None), (ORANGE, 1))),
            number(
                "Share", "Of the tasks that ended, those that ended DEAD.",
                f"sum(rate(martlet_dead_letters_total{{{LANE}}}{RATE})) / {finished}", unit="percentunit", width=6,
                colors=((GREEN, None), (ORANGE, 0.01), (RED, 0.05))),
            number(
                "In retry", "Tasks that failed and wait for their next attempt.", stored(QUEUE + ', status="RETRY"'),
                width=6, colors=((GREEN, None), (ORANGE, 1))),
            chart(
                "Dead letters per minute", "Tasks that end DEAD, by type.",
                (per_minute("martlet_dead_letters_total", LANE, "type"), "{{type}}"), stacked=True, width=12),
            chart(
                "Stored", "Tasks that ended DEAD and are still stored, by queue.",
                (stored(QUEUE + ', status="DEAD"', "queue"), "{{queue}}"), stacked=True, width=12),
            table(
                "Worst types of the last day", "Tasks that ended DEAD.",
                f"topk(20, sum by (queue, type) (increase(martlet_dead_letters_total{{{LANE}}}[1d]))) > 0",
                ["queue", "type", "dead"], width=12),
            chart(
                "Share of dead letters", "Of the tasks that ended, those that ended DEAD.",
                (f"sum(rate(martlet_dead_letters_total{{{LANE}}}{RATE})) / {finished}", "share"), unit="percentunit",
                width=12, limit=0.05),
            row("On the way there"),
            chart(
                "Retries per minute", "Attempts that failed with a further one to come, by type.",
                (per_minute("martlet_retries_total", LANE, "type"), "{{type}}"), stacked=True),
            chart(
                "Failures per minute by kind", "FAILED by their handler, TIMED_OUT, or LOST with their worker.",
                (per_minute("martlet_attempts_total", LANE + ', outcome=~"FAILED|TIMED_OUT|LOST"', "outcome"),
                 "{{outcome}}"), stacked=True),
            chart(
                "Waiting for the next attempt", "Tasks in RETRY, by queue.",
                (stored(QUEUE + ', status="RETRY"', "queue"), "{{queue}}"), stacked=True),
            row("Who was told"),
            chart(
                "Notices per minute", "Deliveries that were tried, by what came of them.",
                (per_minute("martlet_notice_deliveries_total", JOB, "channel", "outcome"), "{{channel}} {{outcome}}")),
            chart(
                "Events delivered per minute", "To brokers and to the stream.",
                (per_minute("martlet_events_delivered_total", JOB, "sink"), "{{sink}}")),
            chart(
                "Oldest that waits", "How long the oldest event and the oldest notice have waited.",
                (f"max by (sink) (martlet_outbox_oldest_seconds{{{JOB}}})", "{{sink}}"),
                (f"max(martlet_notices_oldest_seconds{{{JOB}}})", "notices"), unit="s"),
        ])


def server():
    node_http = NODE + ", " + CALLS
    return dashboard(
        "server", "server", "The edges of each node: HTTP, database, brokers, Redis, the process.", ["instance"],
        [
            row("HTTP"),
            chart(
                "Requests per second by route", "All but health and metrics.",
                (f"sum by (method, route) (rate(martlet_http_requests_total{{{node_http}}}{RATE}))", "{{method}} {{route}}"),
                unit="reqps", stacked=True),
            chart(
                "Failures per second by route", "Answers 4xx and 5xx; 5xx are Martlet's own.",
                (
                    f"sum by (route, status) (rate(martlet_http_requests_total{{{node_http}, status=~\"4..|5..\"}}{RATE}))",
                    "{{status}} {{route}}",
                ), unit="reqps"),
            chart(
                "Duration by route, 95 %", "Long polls last as long as their clients want.",
                (quantile(0.95, "martlet_http_request_seconds", node_http, "method", "route"), "{{method}} {{route}}"),
                unit="s"),
            row("Database"),
            chart(
                "Calls per second by operation", "What the database is asked for.",
                (f"sum by (operation) (rate(martlet_store_seconds_count{{{NODE}}}{RATE}))", "{{operation}}"),
                unit="ops"),
            chart(
                "Duration by operation, 99 %", "Commit included.",
                (quantile(0.99, "martlet_store_seconds", NODE, "operation"), "{{operation}}"), unit="s"),
            chart(
                "Batch size, mean", "Callers that share one call: the more come at once, the more share.",
                (
                    f"sum by (operation) (rate(martlet_store_batch_size_sum{{{NODE}}}{RATE}))"
                    f" / sum by (operation) (rate(martlet_store_batch_size_count{{{NODE}}}{RATE}))",
                    "{{operation}}",
                )),
            chart(
                "Failed calls per minute", "By operation.",
                (per_minute("martlet_store_errors_total", NODE, "operation"), "{{operation}}"), width=12),
            chart(
                "Answers", "1 while the database has answered each node's scrape.",
                (f"martlet_store_up{{{NODE}}}", "{{instance}}"), width=12, top=1),
            row("Brokers, notices, Redis"),
            chart(
                "Events that wait", "What each sink has not been told of yet; 10,000 stands for that many or more.",
                (f"max by (sink) (martlet_outbox_events{{{JOB}}})", "{{sink}}")),
            chart(
                "Sinks", "0 while a node's deliveries to a sink fail.",
                (f"martlet_sink_up{{{NODE}}}", "{{sink}} on {{instance}}"), top=1),
            chart(
                "Who delivers", "1 on the node that delivers to a sink; the others stand by.",
                (f"martlet_sink_delivering{{{NODE}}}", "{{sink}} on {{instance}}"), top=1),
            chart(
                "Channels of notices", "0 while one delivery after the other fails.",
                (f"martlet_notice_channel_up{{{NODE}}}", "{{channel}} on {{instance}}"), top=1),
            chart(
                "Redis", "1 while a node can use it.", (f"martlet_redis_up{{{NODE}}}", "{{instance}}"), top=1),
            chart(
                "Dispatch by Redis, per minute", "Ids that it named, by what the database said, and claims without it.",
                (per_minute("martlet_dispatched_total", NODE, "result"), "{{result}}"),
                (per_minute("martlet_dispatch_fallbacks_total", NODE), "without it")),
            row("Process"),
            chart(
                "Processor", "Cores that each node uses.",
                (
                    f"rate(process_cpu_seconds_total{{{NODE}}}{RATE}) and on (job, instance) martlet_build_info",
                    "{{instance}}",
                )),
            chart(
                "Memory", "Resident and reserved.",
                (f"process_resident_memory_bytes{{{NODE}}} and on (job, instance) martlet_build_info",
                 "{{instance}} resident"),
                (f"process_virtual_memory_bytes{{{NODE}}} and on (job, instance) martlet_build_info",
                 "{{instance}} reserved"), unit="bytes"),
            chart(
                "Open files", "Files and connections, as a share of what each node may have open.",
                (
                    f"process_open_fds{{{NODE}}} / process_max_fds{{{NODE}}} and on (job, instance) martlet_build_info",
                    "{{instance}}",
                ), unit="percentunit", top=1),
            chart(
                "Age", "How long each node has been up: what falls to 0 was restarted.",
                (f"time() - process_start_time_seconds{{{NODE}}} and on (job, instance) martlet_build_info",
                 "{{instance}}"), unit="s", width=24),
        ])


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit("usage: dashboards.py [--check]")
    FOLDER.mkdir(exist_ok=True)
    texts = {
        board["uid"].removeprefix("martlet-") + ".json": json.dumps(board, indent=2, ensure_ascii=False) + "\n"
        for board in (overview(), queues(), workers(), dead_letters(), server())
    }
    stale = [
        name
        for name in sorted({path.name for path in FOLDER.glob("*.json")} | texts.keys())
        if not (FOLDER / name).exists() or (FOLDER / name).read_text() != texts.get(name)
    ]
    if check and stale:
        sys.exit(f"not as dashboards.py writes them: {', '.join(stale)}; run deploy/grafana/dashboards.py")
    if not check:
        for name in stale:
            if name in texts:
                (FOLDER / name).write_text(texts[name])
            else:
                (FOLDER / name).unlink()


if __name__ == "__main__":
    main()
