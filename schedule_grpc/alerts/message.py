"""What a target is told."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schedule_grpc.condition import Alert, Phase


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One message about one condition; ``id`` is the same however often it is sent."""

    id: str
    type: str
    """``alert.started`` or ``alert.ended``."""
    task: str
    key: str
    title: str
    body: str
    time: datetime
    start_time: datetime

    def as_json(self) -> dict[str, Any]:
        """Return what a webhook is sent."""
        return {
            "type": self.type,
            "timestamp": _written(self.time),
            "data": {
                "task": self.task,
                "key": self.key,
                "title": self.title,
                "body": self.body,
                "startTime": _written(self.start_time),
            },
        }


def message_of(alert: Alert) -> Message:
    """Return what is to be told of an alert now: its start, or its end."""
    ended = alert.phase is Phase.ENDED
    return Message(
        id=f"{alert.id}/{'ended' if ended else 'started'}",
        type="alert.ended" if ended else "alert.started",
        task=alert.task_name,
        key=alert.key,
        title=f"Resolved: {alert.title}" if ended else alert.title,
        body=alert.body,
        time=(alert.end_time or alert.start_time) if ended else alert.start_time,
        start_time=alert.start_time,
    )


def _written(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
