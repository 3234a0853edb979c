"""The limits: what pgbench does with the tables of Martlet when rows are made inside the server, nothing is sent over and no
promise is kept but that of the disk. How close Martlet comes to them says more than any absolute figure."""

import glob
import os
import re
import subprocess

from servers import Failed

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = os.path.join(HERE, "..", "limits")
MIGRATIONS = os.path.join(HERE, "..", "..", "Sources", "MartletPostgres", "Migrations")


def insert(run, name, batch, connections):
    fresh(run)
    return [(name, pgbench(run, ["insert"], batch, connections, "-T", run.whole_seconds), "tasks/s")]


def cycle(run, name, batch, connections):
    fresh(run)
    return [(name, pgbench(run, ["insert", "drain"], batch, connections, "-T", run.whole_seconds), "tasks/s")]


def drain(run, name, batch, connections, tasks):
    fresh(run)
    pgbench(run, ["insert"], 1000, 1, "-t", tasks // 1000)
    rate = pgbench(run, ["drain"], batch, connections, "-t", tasks // batch // connections)
    left = int(run.postgres.query("SELECT count(*) FROM task_runs WHERE status <> 5", "bench"))
    if left > tasks / 100:
        raise Failed(f"{left} of {tasks} tasks were left")
    return [(name, rate, "tasks/s")]


def fresh(run):
    run.postgres.fresh_database()
    for script in [*sorted(glob.glob(os.path.join(MIGRATIONS, "V*.sql"))), os.path.join(SCRIPTS, "prepare.sql")]:
        with open(script) as file:
            run.postgres.query(file.read(), "bench")


def pgbench(run, scripts, batch, connections, *bound):
    """Tasks per second. Several scripts are one after the other, as one transaction of pgbench's."""
    script = os.path.join(run.folder, "limit.sql")
    with open(script, "w") as joined:
        for name in scripts:
            with open(os.path.join(SCRIPTS, name + ".sql")) as file:
                # pgbench wants a statement that ends in \gset on one line.
                joined.write(re.sub(r"\s*\n\s*", " ", re.sub(r"--.*", "", file.read())).replace("\\gset ", "\\gset\n") + "\n")
    command = [
        os.path.join(run.postgres.bin, "pgbench"), "-n", "-M", "prepared", "-f", script, "-D", f"batch={batch}",
        "-c", str(connections), "-j", str(min(connections, 2)), *map(str, bound), run.postgres.url("bench"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    rate = re.search(r"tps = ([0-9.]+)", done.stdout)
    if done.returncode or not rate:
        raise Failed(done.stderr.strip()[-400:])
    return float(rate[1]) * batch
