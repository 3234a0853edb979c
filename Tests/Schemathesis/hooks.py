"""What is done to the requests that schemathesis makes."""

import schemathesis

LONGEST = 0.02


@schemathesis.hook
def before_call(context, case, kwargs):
    """Long polls made short: what is tested is what is answered, not how long it takes."""
    for part in (case.query, case.body):
        if not isinstance(part, dict):
            continue
        value = part.get("waitSeconds")
        if isinstance(value, bool):
            continue
        try:
            if LONGEST < float(value) <= 60:
                part["waitSeconds"] = str(LONGEST) if isinstance(value, str) else LONGEST
        except (TypeError, ValueError, OverflowError):
            pass  # wrong on purpose


@schemathesis.hook
def filter_query(context, query):
    """In a URL everything is text: `false` is a fine name for a queue, and an object without members is nothing at all."""
    texts = {"type", "queue", "tag", "worker", "metadata.NAME", "idempotencyKey", "actor", "action", "target"}

    def is_what_it_seems(name, value):
        values = value if isinstance(value, list) else [value]
        if name in texts:
            return all(isinstance(each, str) for each in values)
        return value not in ({}, [])

    return all(is_what_it_seems(name, value) for name, value in (query or {}).items())
