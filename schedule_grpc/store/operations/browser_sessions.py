"""Operations on the sessions of browsers."""

from collections.abc import Collection
from datetime import datetime

from schedule_grpc.database import Operation, Row
from schedule_grpc.domain.access.browser_session import MOST_OF_A_KEY, BrowserSession
from schedule_grpc.runtime.clock import from_micros, to_micros
from schedule_grpc.store.columns import holds_instant
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.with_events import WithEvents


def begin_browser_session(session: BrowserSession) -> Operation[WithEvents[tuple[bytes, ...]]]:
    """Write a session, and remove the oldest ones that its key has beyond `MOST_OF_A_KEY`; return their digests."""
    yield (
        QUERIES.insert_browser_session,
        {
            "digest": session.digest.hex(),
            "key_digest": session.key_digest.hex(),
            "create_time": to_micros(session.create_time),
            "expire_time": to_micros(session.expire_time),
        },
    )
    chosen = {"key_digest": session.key_digest.hex(), "kept": MOST_OF_A_KEY, "limit": MOST_OF_A_KEY}
    removed = yield QUERIES.remove_surplus_browser_sessions, chosen
    return tuple(bytes.fromhex(row["digest"]) for row in removed), ()


def find_browser_session(digest: bytes) -> Operation[BrowserSession | None]:
    """Read the session of a cookie's digest."""
    rows = yield QUERIES.find_browser_session, {"digest": digest.hex()}
    return _session_of(rows[0]) if rows else None


def end_browser_sessions(digests: Collection[bytes]) -> Operation[WithEvents[None]]:
    """Remove the sessions of digests, those that there are."""
    if digests:
        yield QUERIES.end_browser_sessions, [{"digest": text} for text in sorted({each.hex() for each in digests})]
    return None, ()


def prune_browser_sessions(before: datetime, limit: int) -> Operation[WithEvents[int]]:
    """Remove at most ``limit`` sessions that ended up to a moment; return how many."""
    removed = yield QUERIES.remove_expired_browser_sessions, {"until": to_micros(before), "limit": limit}
    return len(removed), ()


def _session_of(row: Row) -> BrowserSession | None:
    """Return the session in a row; None if this program cannot read it: then nobody is let in by it."""
    if not (holds_instant(row["create_time"]) and holds_instant(row["expire_time"])):
        return None
    try:
        return BrowserSession(
            digest=bytes.fromhex(row["digest"]),
            key_digest=bytes.fromhex(row["key_digest"]),
            create_time=from_micros(row["create_time"]),
            expire_time=from_micros(row["expire_time"]),
        )
    except (ValueError, TypeError):
        return None
