"""The calls that callers make most and a stream, made by every kind of client and answered to each alike."""

import json
from collections.abc import Callable, Mapping
from typing import Any

REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "RegisterTask": {"schedule": "0 9 * * 1", "handler": "check-rate-limits", "payload": {"limit": 500}},
    "DisableTask": {"note": "holiday"},
}
"""What is sent beside the name; nothing by all other calls."""
STREAM = "WatchExecutions"


def requested(rpc: str, name: str) -> str:
    """Return the request of a call in JSON."""
    return json.dumps({"namePrefix" if rpc == "ListTasks" else "name": name} | REQUESTS.get(rpc, {}))


ERROR = ["NotFound", "Task not found: nothing-of-that-name", "google.rpc.ErrorInfo"]
"""An error as JavaScript's clients show it: its code, its message, the type of its details."""


def is_whole(answers: Mapping[str, Any], client: str, name: str, record: Callable[[str, object], None]) -> None:
    """Check that a client was answered all calls, and record it (`record_property`) for the table of clients."""
    states = answers[STREAM]
    assert dict(answers) == {
        "RegisterTask": {"limit": 500},
        "ListTasks": [name],
        "GetTask": "0 9 * * 1",
        "RunTaskNow": True,
        "GetTaskHistory": [True],
        "DisableTask": False,
        "EnableTask": True,
        STREAM: states,
    }
    assert states == ["PENDING", "RUNNING", "SUCCEEDED"]
    record(client, " ".join(sorted(answers)))
