"""Looks at a soak run every few seconds, and says in the end what has grown: a straight line is laid through each figure after the
warm-up, by least squares."""

import csv
import os
import statistics

TABLES = """
    SELECT relname FROM pg_class WHERE relnamespace = 'martlet'::regnamespace AND relkind = 'r' ORDER BY relname"""
SIZES = """
    SELECT relname, pg_total_relation_size(oid), pg_relation_size(oid) FROM pg_class
    WHERE relnamespace = 'martlet'::regnamespace AND relkind = 'r'"""
BACKLOG = """
    SELECT count(*) FILTER (WHERE status = 2), count(*) FILTER (WHERE status = 3),
      count(*) FILTER (WHERE status IN (1, 4)), count(*) FILTER (WHERE status IN (5, 6, 7)) FROM martlet.task_runs"""


class Node:
    """Figures of a process as the kernel keeps them."""

    def __init__(self, pid):
        self.pid = pid

    def look(self):
        with open(f"/proc/{self.pid}/status") as file:
            status = dict(line.split(":", 1) for line in file)
        kilobytes = {name: int(status[name].split()[0]) for name in ("VmRSS", "RssAnon")}
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return {
            "rss": kilobytes["VmRSS"] / 1024, "anonymous": kilobytes["RssAnon"] / 1024,
            "descriptors": len(os.listdir(f"/proc/{self.pid}/fd")), "threads": int(status["Threads"]),
            "cpu": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        }


class Watch:
    def __init__(self, database, node):
        self.database, self.node = database, node
        self.samples = []
        self.tables = database(TABLES).split()

    def look(self, at, load):
        sample = {"at": at, **self.node.look(), "acknowledged": load.acknowledged}
        names = ("ready", "running", "later", "final")
        sample.update(zip(names, map(int, self.database(BACKLOG).split("|"))))
        for line in self.database(SIZES).splitlines():
            table, size, _ = line.split("|")
            sample[f"bytes {table}"] = int(size)
        sample["bytes"] = sum(value for name, value in sample.items() if name.startswith("bytes "))
        counts = self.database(" UNION ALL ".join(
            f"SELECT '{table}', count(*) FROM martlet.{table}" for table in self.tables))
        for line in counts.splitlines():
            table, count = line.split("|")
            sample[f"rows {table}"] = int(count)
        sample["rows"] = sum(value for name, value in sample.items() if name.startswith("rows "))
        self.samples.append(sample)
        return sample

    def write(self, path):
        names = list(self.samples[-1])
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, names, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self.samples)


class Line:
    """Of one figure, over what was seen after the warm-up; minutes by their medians, so that a moment does not count.

    What is kept for a while grows and shrinks with the tasks that come in, and these with whatever else the machine has to do: with
    `pace` the line is laid through the figure as it would be at an even pace (least squares over the time and the pace)."""

    def __init__(self, samples, name, pace=False, typical=statistics.median):
        minutes = {}
        for sample in samples:
            minutes.setdefault(int(sample["at"] // 60), []).append(sample)
        xs = [minute / 60 for minute in minutes]
        ys = [typical(sample.get(name, 0) for sample in group) for group in minutes.values()]
        zs = [statistics.median(sample["pace"] if pace else 0 for sample in group) for group in minutes.values()]
        self.level = statistics.fmean(ys)
        self.first, self.last, self.highest = ys[0], ys[-1], max(ys)
        self.hours = max(xs) - min(xs)
        xs, zs = ([value - statistics.fmean(values) for value in values] for values in (xs, zs))
        ys = [y - self.level for y in ys]
        xx, xz, zz, xy, zy = (
            sum(a * b for a, b in zip(left, right)) for left, right in ((xs, xs), (xs, zs), (zs, zs), (xs, ys), (zs, ys)))
        if not zz:
            zz = 1.0  # an even pace explains nothing
        area = xx * zz - xz * xz
        self.slope = (xy * zz - zy * xz) / area if area else 0.0
        by_pace = (zy * xx - xy * xz) / area if area else 0.0
        rest = [y - self.slope * x - by_pace * z for x, y, z in zip(xs, ys, zs)]
        # Three standard errors, as so many figures are looked at: what the line cannot tell from none.
        free = len(xs) - 3
        self.doubt = 3 * (sum(r * r for r in rest) / free * zz / area) ** 0.5 if free > 0 and area else float("inf")

    @property
    def percent(self):
        """Of the level, an hour."""
        return 100 * self.slope / self.level if self.level else 0.0


class Verdict:
    """What has grown beyond what may grow."""

    MEMORY = 2.0  # percent an hour
    TABLES = 10.0  # percent an hour: dead rows come and go with vacuum

    def __init__(self, watch, warm_up, rate, retention):
        self.rate, self.retention = rate, retention
        self.watch = watch
        self.set_pace(watch.samples)
        self.samples = [sample for sample in watch.samples if sample["at"] >= warm_up]
        kept = ("pace", "rows", "bytes", "ready", "running", "later", "final")
        self.lines = {name: Line(self.samples, name) for name in ("descriptors", "threads")}
        # The least of each minute: what a burst takes is given back within one.
        self.lines.update((name, Line(self.samples, name, typical=min)) for name in ("rss", "anonymous"))
        self.lines.update((name, Line(self.samples, name, pace=name != "pace")) for name in kept)

    def set_pace(self, samples):
        """Tasks a second that came in while what is kept now was submitted."""
        first = 0
        for sample in samples:
            while samples[first]["at"] < sample["at"] - self.retention - 15:
                first += 1
            seconds = sample["at"] - samples[first]["at"]
            sample["pace"] = (sample["acknowledged"] - samples[first]["acknowledged"]) / seconds if seconds else self.rate

    def faults(self):
        faults = []
        memory = self.lines["rss"]
        if memory.percent > self.MEMORY:
            faults.append(f"memory grows by {memory.percent:.1f} % an hour, from {memory.first:.1f} to {memory.last:.1f} MiB")
        descriptors = self.lines["descriptors"]
        if descriptors.slope * descriptors.hours > max(3, 0.05 * descriptors.level):
            faults.append(f"descriptors grow by {descriptors.slope:.1f} an hour")
        # Sweeps come every ten seconds, and each needs its time.
        bound = self.rate * (self.retention + 60)
        final = self.lines["final"]
        if final.highest > bound:
            faults.append(f"{final.highest:.0f} final tasks are kept, retention allows {bound:.0f}")
        for name in ("rows", "bytes"):
            line = self.lines[name]
            if line.percent > self.TABLES and line.slope > line.doubt:
                faults.append(f"tables grow by {line.percent:.1f} % of their {name} an hour")
        for table in self.watch.tables:
            # The least of each minute: some are filled and emptied all the while.
            rows = Line(self.samples, f"rows {table}", pace=True, typical=min)
            # A table of few rows may have some more of them.
            if rows.slope > rows.doubt and rows.slope * rows.hours > max(100, 0.1 * rows.level):
                faults.append(f"{table} grows by {rows.slope:.0f} rows an hour, from {rows.first:.0f} to {rows.last:.0f}")
        waiting = self.lines["ready"]
        if waiting.slope > waiting.doubt and waiting.slope * waiting.hours > self.rate * 5:
            faults.append(f"the backlog grows by {waiting.slope:.0f} tasks an hour")
        return faults

    def table(self):
        units = {"rss": "MiB", "anonymous": "MiB", "bytes": "bytes"}
        lines = ["Slopes of what is kept are those at an even pace.", ""]
        lines += ["| figure | first | last | highest | slope an hour | percent an hour |", "|---|---|---|---|---|---|"]
        for name, line in self.lines.items():
            digits = 1 if name in ("rss", "anonymous") else 0
            lines.append(
                f"| {name} {units.get(name, '')} | {line.first:.{digits}f} | {line.last:.{digits}f} | {line.highest:.{digits}f} "
                f"| {line.slope:+.{digits}f} ± {line.doubt:.{digits}f} | {line.percent:+.2f} |")
        return "\n".join(lines)

    def relations(self):
        lines = ["| table | rows, first | last | highest | MiB, first | last | highest |", "|---|---|---|---|---|---|---|"]
        for table in self.watch.tables:
            rows, size = Line(self.samples, f"rows {table}"), Line(self.samples, f"bytes {table}")
            if size.highest > 1 << 20:
                sizes = " | ".join(f"{value / (1 << 20):.1f}" for value in (size.first, size.last, size.highest))
                lines.append(f"| {table} | {rows.first:.0f} | {rows.last:.0f} | {rows.highest:.0f} | {sizes} |")
        return "\n".join(lines)
