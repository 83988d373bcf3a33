"""Print the schedule of Celery beat as JSON, for `schedule-grpc import celery-beat`.

Copy this file beside your program as `beat_schedule.py`, and run there::

    from beat_schedule import beat_json
    from my_program import app

    print(beat_json(app))
"""

import json
from datetime import datetime, timedelta
from typing import Any

_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


def beat_json(app: Any) -> str:
    """Return the entries of an app's beat schedule as JSON."""
    app.finalize()
    entries = [_entry(app, name, entry) for name, entry in app.conf.beat_schedule.items()]
    found = {
        "celery_beat": 1,
        "timezone": str(app.timezone),
        "cron_starting_deadline": app.conf.get("beat_cron_starting_deadline"),
        "entries": entries,
    }
    return json.dumps(found, indent=2)


def _entry(app: Any, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    task = app.tasks.get(entry["task"])
    found: dict[str, Any] = {
        "name": name,
        "task": entry["task"],
        "schedule": _schedule(entry["schedule"]),
        "options": {key: _plain(value) for key, value in (entry.get("options") or {}).items()},
        "time_limit": getattr(task, "time_limit", None) or app.conf.get("task_time_limit"),
        "unreadable": [],
    }
    for key, value in (("args", list(entry.get("args") or ())), ("kwargs", dict(entry.get("kwargs") or {}))):
        try:
            json.dumps(value, allow_nan=False)
            found[key] = value
        except (TypeError, ValueError):
            found["unreadable"].append(f"{key} {value!r}"[:200])
    return found


def _schedule(schedule: Any) -> dict[str, Any]:
    if isinstance(schedule, int | float):
        return {"type": "interval", "seconds": schedule, "text": f"every {schedule} s"}
    if isinstance(schedule, timedelta):
        return {"type": "interval", "seconds": schedule.total_seconds(), "text": f"every {schedule}"}
    if all(isinstance(getattr(schedule, name, None), set) for name in _FIELDS):
        found: dict[str, Any] = {"type": "crontab", "text": str(schedule)}
        return found | {name: sorted(getattr(schedule, name)) for name in _FIELDS}
    if hasattr(schedule, "event") and hasattr(schedule, "lat"):
        return {"type": "solar", "text": f"solar {schedule.event} {schedule.lat} {schedule.lon}"}
    if type(schedule).__name__ == "schedule" and isinstance(schedule.run_every, timedelta):
        return {"type": "interval", "seconds": schedule.run_every.total_seconds(), "text": str(schedule)}
    return {"type": type(schedule).__name__, "text": str(schedule)}


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool | None) else repr(value)[:200]
