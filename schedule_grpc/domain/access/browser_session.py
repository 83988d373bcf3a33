"""A browser that has logged in with a key."""

from dataclasses import dataclass
from datetime import datetime, timedelta

LASTS = timedelta(hours=12)
MOST_OF_A_KEY = 100
"""Sessions that began with one key's text; one more ends the oldest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BrowserSession:
    """A browser that has logged in.

    It may do what its key may, except to be handed a key, and is over once that key's text is not accepted.
    """

    digest: bytes
    """The SHA-256 of the cookie that the browser keeps: its name and its random text."""
    key_digest: bytes
    """The SHA-256 of the text of the key with which it logged in."""
    create_time: datetime
    expire_time: datetime
