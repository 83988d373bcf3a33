"""Print the jobs of an APScheduler 3 as JSON, for `schedule-grpc import apscheduler`.

Copy this file beside your program, which alone may open its job store (jobs are kept as pickles), and run there::

    from apscheduler.schedulers.base import BaseScheduler
    from apscheduler_jobs import jobs_json
    from my_program import scheduler

    BaseScheduler.start(scheduler, paused=True)  # opens its job stores, runs nothing
    print(jobs_json(scheduler))
"""

import json
from typing import Any

_KINDS = {
    "CronTrigger": "cron",
    "IntervalTrigger": "interval",
    "DateTrigger": "date",
    "OrTrigger": "or",
    "AndTrigger": "and",
}


def jobs_json(scheduler: Any) -> str:
    """Return the jobs of a scheduler as JSON."""
    jobs = [_job(job) for job in scheduler.get_jobs()]
    return json.dumps({"apscheduler": 3, "jobs": jobs}, indent=2)


def _job(job: Any) -> dict[str, Any]:
    found = {
        "id": job.id,
        "func": job.func_ref or str(job.func),
        "paused": getattr(job, "next_run_time", job) is None,  # a job that is not scheduled yet has no such time
        "trigger": _trigger(job.trigger),
    }
    for name in ("coalesce", "max_instances", "misfire_grace_time"):
        if hasattr(job, name):
            found[name] = getattr(job, name)
    found["unreadable"] = []
    for name, value in (("args", list(job.args)), ("kwargs", dict(job.kwargs))):
        try:
            json.dumps(value, allow_nan=False)
            found[name] = value
        except (TypeError, ValueError):
            found["unreadable"].append(f"{name} {value!r}"[:200])
    return found


def _trigger(trigger: Any) -> dict[str, Any]:
    kind = type(trigger).__name__
    found: dict[str, Any] = {"type": _KINDS.get(kind, kind)}
    if kind == "CronTrigger":
        found["fields"] = {field.name: _field(field) for field in trigger.fields}
        found["timezone"] = str(trigger.timezone)
    if kind == "IntervalTrigger":
        found["seconds"] = trigger.interval.total_seconds()
    if kind in ("OrTrigger", "AndTrigger"):
        found["triggers"] = [_trigger(each) for each in trigger.triggers]
    for name in ("start_date", "end_date", "run_date"):
        if getattr(trigger, name, None) is not None:
            found[name] = getattr(trigger, name).isoformat()
    if getattr(trigger, "jitter", None):
        found["jitter"] = trigger.jitter
    return found


def _field(field: Any) -> str:
    return ",".join(map(_expression, field.expressions))


def _expression(expression: Any) -> str:
    # The library shows 0-0/1 as 0/1, which it reads as 0-59/1.
    first, last = getattr(expression, "first", None), getattr(expression, "last", None)
    one = getattr(expression, "step", None) and first is not None and first == last
    return str(first) if one else str(expression)
