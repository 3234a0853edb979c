"""From figures to the pages: medians, ranges, ratios, and the part of results.md that a run rewrites."""

import re
import statistics

BEGIN, END = "<!-- Written by Benchmarks/run -->", "<!-- Until here -->"


class Results:
    def __init__(self):
        self.values = {}  # (scenario, contender, what): {round: value}
        self.failures = {}  # (scenario, contender): [message]

    def add(self, scenario, contender, round, figures):
        for what, value, _ in figures:
            self.values.setdefault((scenario, contender, what), {})[round] = value

    def fail(self, scenario, contender, round, message):
        self.failures.setdefault((scenario, contender), []).append(f"round {round}: {message}")

    def of(self, scenario, contender, what):
        return self.values.get((scenario, contender, what), {})


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def summary(values):
    """Median, and lowest to highest."""
    if not values:
        return "–"
    values = list(values)
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))}–{number(max(values))})"


def ratio(ours, theirs):
    """Round by round, so that a slow minute of the machine cancels out."""
    return [ours[round] / theirs[round] for round in ours if theirs.get(round)]


def page(scenario, results):
    lines = [f"### {scenario.title}", "", scenario.about, ""]
    lines.append(f"| {scenario.unit} | " + " | ".join(scenario.columns.values()) + " | conditions |")
    lines.append("|---" * (len(scenario.columns) + 2) + "|")
    for contender, prefix in ((one, prefix) for one in scenario.contenders for prefix in scenario.rows or [None]):
        names = [f"{prefix}, {what}" if prefix else what for what in scenario.columns]
        cells = [summary(results.of(scenario.key, contender.key, name).values()) for name in names]
        label = scenario.rows[prefix] if prefix else contender.label
        if contender.kind == "limit":
            label = f"*{label}*"
        lines.append(f"| {label} | " + " | ".join(cells) + f" | {contender.note} |")
    lines += comparison(scenario, results)
    for contender in scenario.contenders:
        for message in results.failures.get((scenario.key, contender.key), []):
            lines += ["", f"**{contender.label} failed**, {message}"]
    return lines + [""]


def comparison(scenario, results):
    rows = []
    for what in scenario.compared:
        ours = results.of(scenario.key, "martlet", what)
        if not ours:
            continue
        told = []
        for name, keys in (
            ("the best peer on PostgreSQL", ["pgqueuer", "procrastinate"]), ("the best on Redis", ["sidekiq", "celery"]),
            ("the limit", ["limit"]),
        ):
            medians = {
                key: statistics.median(results.of(scenario.key, key, what).values())
                for key in keys if results.of(scenario.key, key, what)
            }
            if not medians:
                continue
            best = (min if scenario.less_is_better else max)(medians, key=medians.get)
            told.append(f"{summary(ratio(ours, results.of(scenario.key, best, what)))} of {name}")
        if told:
            rows.append(f"- {scenario.columns[what]}: " + "; ".join(told) + ".")
    if rows:
        rows = ["", "Martlet's figure as a multiple, round by round:", "", *rows]
    shares = []
    for name, (one, other) in scenario.shares.items():
        found = ratio(results.of(scenario.key, *one), results.of(scenario.key, *other))
        if found:
            shares.append(f"- {name}: {summary(found)}")
    return rows + ([""] + shares if shares else [])


def rewrite(path, lines):
    """Puts the lines between the marks, or at the end where there are none."""
    with open(path) as file:
        text = file.read()
    part = "\n".join([BEGIN, *lines, END])
    if BEGIN in text:
        text = re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: part, text, flags=re.S)
    else:
        text = text.rstrip() + "\n\n" + part + "\n"
    with open(path, "w") as file:
        file.write(text)
