"""Instants as people read them."""

from datetime import datetime


def time_shown(instant: datetime | None) -> str:
    """Return an instant for people, in UTC: ``2026-11-28 09:04:09Z``; nothing for none."""
    return "" if instant is None else instant.strftime("%Y-%m-%d %H:%M:%SZ")
