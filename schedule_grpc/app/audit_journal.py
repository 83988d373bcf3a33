"""Rows of the audit log as lines of the log, for programs that collect lines."""

import logging
from collections.abc import Sequence
from dataclasses import asdict

import structlog

from schedule_grpc.engine.log_lines import Line, Write, one_by_one
from schedule_grpc.events import Audited, Event

log = structlog.get_logger(__name__)


def audit_journal(events: Sequence[Event], *, write: Write = one_by_one) -> None:
    """Log each row that was written, once it is committed; fields that it has not are left out."""
    rows = [row for event in events if isinstance(event, Audited) for row in event.rows]
    if not rows or log.get_effective_level() > logging.INFO:
        return
    told = [{name: value for name, value in asdict(row).items() if value not in ("", ())} for row in rows]
    write([Line("info", "audit.recorded", each | {"time": each["time"].isoformat()}) for each in told])
