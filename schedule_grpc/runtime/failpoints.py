"""Points at which tests kill, stop or fail a server: ``SCHEDULE_FAILPOINTS=claim.written=kill@3,record.begun=error``.

Each write of the store has three: ``begun`` (nothing is written), ``written`` (in a transaction that is not committed)
and ``committed`` (on disk, not published yet). They are defined in this module alone; without the variable a point
costs the look-up of an empty mapping.

An action is ``kill`` (SIGKILL: nothing is cleaned up), ``stop`` (SIGSTOP) or ``error`` (raises `FailpointReached`);
after ``@`` stands the visit at which it happens, counted from 1; 1 by default.
"""

import os
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from functools import wraps
from typing import Any

VARIABLE = "SCHEDULE_FAILPOINTS"
STEPS = ("begun", "written", "committed")
OPERATIONS = (
    *(
        "register_tasks",
        "change_tasks",
        "submit",
        "trigger",
        "backfill",
        "cancel",
        "give_up",
        "offer_handlers",
        "fire",
        "claim",
    ),
    *(
        "record",
        "rescue",
        "take_over",
        "recover_own",
        "expire",
        "remove",
        "look_again",
        "end_round",
        "note_overdue",
        "mark_alert_sent",
    ),
    *("renew_lease", "leave", "shorten_waits"),
    *("note_unreadable", "correct_tasks", "note_reviewed"),
    *("create_key", "change_key", "note_keys_used"),
    *("create_namespace", "update_namespace", "delete_namespace"),
    *("record_calls", "remove_events"),
    *("register_worker", "renew_workers", "give", "end_worker", "lapse_workers", "end_overtime", "remove_workers"),
    *("append_logs", "note_progress", "remove_logs"),
    *("begin_browser_session", "end_browser_sessions", "prune_browser_sessions"),
    "audit",
    "migrate",
)
"""The store's operations, by the names of their functions; ``migrate`` is one step to the next schema version.

``audit.begun`` lies in each operation that is audited: its change is written, the row of the audit log is not;
``audit.written`` follows the row.
"""

Work = Callable[..., Generator[Any, Any, Any]]


class FailpointReached(Exception):
    """Raised by the action ``error``."""


def reached(operation: str, step: str) -> None:
    """Do the action that is armed at a point, if any."""
    if _ARMED and (armed := _ARMED.get(f"{operation}.{step}")) is not None:
        armed.visit()


def within(operation: Work, name: str) -> Work:
    """Return an operation that reaches the point ``written`` of a name at its end, inside of its transaction."""
    if not _ARMED:
        return operation

    @wraps(operation)
    def watched(*arguments: Any) -> Generator[Any, Any, Any]:
        result = yield from operation(*arguments)
        reached(name, "written")
        return result

    return watched


class _Armed:
    """A point where something happens, at one of its visits."""

    def __init__(self, point: str, action: str, at: int) -> None:
        self._point = point
        self._action = _ACTIONS[action]
        self._left = at
        self._lock = threading.Lock()  # points lie in the loop and in the database's thread

    def visit(self) -> None:
        with self._lock:
            self._left -= 1
            due = self._left == 0
        if due:
            self._action(self._point)


def _signalled(number: signal.Signals) -> Callable[[str], None]:
    return lambda _point: os.kill(os.getpid(), number)


def _error(point: str) -> None:
    raise FailpointReached(point)


_ACTIONS: Mapping[str, Callable[[str], None]] = {
    "kill": _signalled(signal.SIGKILL),
    "stop": _signalled(signal.SIGSTOP),
    "error": _error,
}


_ARMED: dict[str, _Armed] = {}


def arm(text: str) -> None:
    """Arm what stands in the variable; what cannot be read ends the process: a test would take silence for success."""
    for setting in filter(None, text.split(",")):
        point, _, visit = setting.partition("=")
        action, _, at = visit.partition("@")
        operation, _, step = point.partition(".")
        known = operation in OPERATIONS and step in STEPS and action in _ACTIONS
        if not known or not (at or "1").isdigit():
            raise SystemExit(f"{VARIABLE}: {setting} is not OPERATION.STEP=ACTION[@VISIT]")
        _ARMED[point] = _Armed(point, action, int(at or 1))


arm(os.environ.get(VARIABLE, ""))
