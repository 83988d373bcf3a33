"""Messages, as targets receive them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.condition import Alert, Phase


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One message about one condition; ``id`` is the same however often it is sent."""

    id: str
    type: str
    """``alert.started`` or ``alert.ended``."""
    namespace: str
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
                "namespace": self.namespace,
                "task": self.task,
                "key": self.key,
                "title": self.title,
                "body": self.body,
                "startTime": _written(self.start_time),
            },
        }


def messages_of(alert: Alert) -> tuple[Message, ...]:
    """Return the unsent messages of an alert, in order: its start, its end, or both."""
    start = (_message(alert, alert.start_time, ended=False),) if alert.phase is Phase.STARTED else ()
    end = () if alert.end_time is None else (_message(alert, alert.end_time, ended=True),)
    return start + end


def _message(alert: Alert, time: datetime, *, ended: bool) -> Message:
    # Of other namespaces the title names it, for targets that show a title and a body only.
    title = alert.title if alert.namespace == DEFAULT_NAMESPACE else f"[{alert.namespace}] {alert.title}"
    return Message(
        id=f"{alert.id}/{'ended' if ended else 'started'}",
        type="alert.ended" if ended else "alert.started",
        namespace=alert.namespace,
        task=alert.task_name,
        key=alert.key,
        title=f"Resolved: {title}" if ended else title,
        body=alert.body,
        time=time,
        start_time=alert.start_time,
    )


def _written(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
