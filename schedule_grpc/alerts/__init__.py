"""Alerts: sent to the configured targets, once when a condition starts and once when it ends.

Unsent alerts are kept in the database, so a restart forgets none; a target that is down is tried again, and no task
waits for it.
"""

from schedule_grpc.alerts.message import Message, messages_of
from schedule_grpc.alerts.sender import AlertStates, Sender
from schedule_grpc.alerts.targets import Target, open_targets, read_secret

__all__ = ["AlertStates", "Message", "Sender", "Target", "messages_of", "open_targets", "read_secret"]
