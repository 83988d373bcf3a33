"""Checks of who may call: addresses that are open, callers that prove nothing, keys that end soon."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from schedule_grpc.access.authenticator import Mode
from schedule_grpc.cli.commands.doctor.check import Check, ok, warn
from schedule_grpc.cli.connection import Caller
from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.access.keys import KeyInfo
from schedule_grpc.domain.durations import human
from schedule_grpc.errors import PermissionDenied, ScheduleError, Unauthenticated
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.settings.config import Settings
from schedule_grpc.text.instants import time_shown

SOON = timedelta(days=14)
"""A key that expires within this time is told."""
MAKE_KEYS = 'make keys: docs/operations.md, "How do I give callers keys?"'


def access_configured(settings: Settings) -> Iterator[Check]:
    """Yield what the configuration leaves open."""
    if settings.auth.mode is Mode.PERMISSIVE:
        grants = ", ".join(settings.auth.anonymous_grants) or "nothing"
        yield warn(
            "access",
            f"auth.mode is permissive: who proves nothing has {grants}",
            "give keys to the callers that auth.would_refuse in the log names, then set it to required",
        )
    for address in settings.open_addresses:
        yield warn(
            "access",
            f"insecure_bind: {address} can be reached by others, who prove nothing or show keys without TLS",
            "set auth.mode to required, tls_cert and tls_key, and remove insecure_bind",
        )


async def access_asked(call: Caller, settings: Settings | None, *, deadline: float) -> Sequence[Check]:
    """Return what a server says of its keys and namespaces to this caller; ``deadline`` in seconds for each call.

    ``settings``: the server's; None if they cannot be read.
    """
    try:
        async with call.client(deadline=deadline, attempts=1) as client:
            return await _keys_and_namespaces(client, settings)
    except Unauthenticated:
        advice = "give a key by --token-file (SCHEDULE_TOKEN_FILE)"
        return [warn("keys", "the server asks who calls, and was shown no key that it accepts", advice)]
    except ScheduleError as error:
        return [warn("keys", error.message, "ask again")]


async def _keys_and_namespaces(client: AsyncClient, settings: Settings | None) -> Sequence[Check]:
    try:
        keys = [key async for key in client.keys(show_revoked=True)]
    except PermissionDenied:
        mine = (await client.who_am_i()).key
        return list(_keys([] if mine is None else [mine], whose="your own"))
    if keys or settings is None or not _asks_nobody(settings):
        return list(_keys(keys, whose="the keys that you manage"))
    namespaces = [namespace async for namespace in client.namespaces()]
    if len(namespaces) == 1:
        return [ok("keys", "there is none: callers need none")]
    finding = f"there is none, and {len(namespaces)} namespaces: whoever calls may do everything in all of them"
    return [warn("keys", finding, MAKE_KEYS)]


def _asks_nobody(settings: Settings) -> bool:
    """Return whether a server without keys lets everybody do everything."""
    return settings.auth.mode in (None, Mode.OFF) and not settings.auth.is_required


def _keys(keys: Sequence[KeyInfo], *, whose: str) -> Iterator[Check]:
    now = SystemClock().now()
    is_any = False
    for key in keys:
        ends = key.expire_time
        if key.revoke_time is None and ends is not None and now < ends <= now + SOON:
            is_any = True
            finding = f"{key.name} ({key.namespace}) expires at {time_shown(ends)}, in {human(ends - now)}"
            yield warn("keys", finding, f"`schedule-grpc keys rotate {key.name} --namespace '{key.namespace}'`")
    if not is_any:
        yield ok("keys", f"none of {whose} expires within {SOON.days} days")
