"""Checks the dashboards and the alert rules of deploy/. Called by scripts/lint-monitoring.

Dashboards are read and written again by Grafana's own types, so that what Grafana would not understand is missing afterwards. Their
queries are written to the file given, as rules, for promtool to check. Alerts have all that whoever is woken needs, a section in the
runbooks, and a test in which they fire and one in which they do not.
"""

import json
import pathlib
import re
import sys

import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

ROOT = pathlib.Path(__file__).parents[2]
GRAFANA = ROOT / "deploy/grafana"
PROMETHEUS = ROOT / "deploy/prometheus"
RUNBOOKS = "docs/operations/runbooks.md"

complaints = []


def complain(place, text):
    complaints.append(f"{place}: {text}")


# --- Dashboards


def missing(wanted, found, path=""):
    """The places of what was read and is not there, or is different, once Grafana's types have written it."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            if key in found:
                yield from missing(value, found[key], f"{path}.{key}")
            elif value not in ({}, [], None):
                yield f"{path}.{key}"
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for index, (one, other) in enumerate(zip(wanted, found)):
            yield from missing(one, other, f"{path}[{index}]")
    elif wanted != found:
        yield path


def check_types(name, board):
    written = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    for place in missing(board, written):
        complain(name, f"Grafana's types do not know {place.lstrip('.')}, or not so")


def check_panels(name, board):
    places = set()
    ids = [panel["id"] for panel in board["panels"]]
    if len(set(ids)) != len(ids):
        complain(name, "two panels have one id")
    for panel in board["panels"]:
        title, grid = panel["title"], panel["gridPos"]
        if grid["x"] + grid["w"] > 24:
            complain(name, f"'{title}' is too wide")
        cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
        if cells & places:
            complain(name, f"'{title}' lies over another panel")
        places |= cells
        if panel["type"] == "row":
            continue
        if not panel.get("description", "").endswith("."):
            complain(name, f"'{title}' has no description")
        if not panel["targets"]:
            complain(name, f"'{title}' asks for nothing")
    variables = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps([panel.get("targets") for panel in board["panels"]])))
    for unknown in used - variables - {"__rate_interval", "1"}:
        complain(name, f"the variable ${unknown} is not there")
    for idle in variables - used:
        complain(name, f"no panel uses the variable ${idle}")


def filled(expression):
    """As Prometheus sees it when everything is chosen."""
    return re.sub(r"\$(job|instance|queue|type)\b", ".*", expression.replace("$__rate_interval", "5m"))


def check_dashboards():
    plugins.register_default_plugins()
    uids, rules = set(), []
    for path in sorted((GRAFANA / "dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        if board["uid"] in uids:
            complain(path.name, "another dashboard has its uid")
        uids.add(board["uid"])
        check_types(path.name, board)
        check_panels(path.name, board)
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                rules.append({"record": f"panel:{len(rules)}", "expr": filled(target["expr"])})
    if len(uids) < 4:
        complain("deploy/grafana", "dashboards are missing")
    return {"groups": [{"name": "dashboards", "rules": rules}]}


def check_provisioning():
    for path in sorted((GRAFANA / "provisioning").rglob("*.y*ml")):
        if yaml.safe_load(path.read_text()).get("apiVersion") != 1:
            complain(path.name, "apiVersion is not 1")


# --- Alerts


def anchors(page):
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_alerts():
    known = anchors(ROOT / RUNBOOKS)
    rules = [
        rule
        for path in sorted(PROMETHEUS.glob("*.rules.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    fires, rests = set(), set()
    for path in sorted(PROMETHEUS.glob("*.rules.test.yml")):
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test.get("alert_rule_test", []):
                (fires if case.get("exp_alerts") else rests).add(case["alertname"])
    names = [rule["alert"] for rule in rules]
    if len(set(names)) != len(names):
        complain("alerts", "two have one name")
    for rule in rules:
        name, notes = rule["alert"], rule.get("annotations", {})
        for wanted in ("summary", "description", "runbook_url"):
            if not notes.get(wanted):
                complain(name, f"has no {wanted}")
        page, _, anchor = notes.get("runbook_url", "").partition("#")
        if page != RUNBOOKS or anchor not in known:
            complain(name, f"its runbook_url leads nowhere: {notes.get('runbook_url')}")
        if rule.get("labels", {}).get("severity") not in ("critical", "warning"):
            complain(name, "has no severity that is critical or warning")
        if name not in fires:
            complain(name, "no test sees it fire")
    for name in set(names) - rests - {"MartletErrorBudgetBurnsSlowly"}:  # by its labels: the quiet job is in the same test
        complain(name, "no test sees it rest")
    for idle in known - {name.lower() for name in names}:
        if idle.startswith("martlet"):
            complain(RUNBOOKS, f"#{idle} is of no alert")


if len(sys.argv) != 2:
    sys.exit("usage: check.py FILE")
pathlib.Path(sys.argv[1]).write_text(json.dumps(check_dashboards(), indent=1))
check_provisioning()
check_alerts()
if complaints:
    sys.exit("\n".join(complaints))
