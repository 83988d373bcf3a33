"""Addresses that ``insecure_bind`` opened: the log says so again and again, for nobody reads the lines of a start."""

from collections.abc import Callable, Sequence
from typing import NoReturn

import structlog

from schedule_grpc.access.authenticator import Mode
from schedule_grpc.runtime.clock import Clock, pass_by

log = structlog.get_logger(__name__)

EVERY = 3600.0
"""Seconds."""


async def keep_warning(addresses: Sequence[str], mode: Callable[[], Mode], clock: Clock) -> NoReturn:
    """Log a warning now and each hour.

    Args:
        addresses: The addresses that others can reach although callers prove nothing there, or show keys without TLS.
        mode: Returns whether callers must prove who they are, as it is at that time.
        clock: The server's clock.
    """
    while True:
        log.warning("auth.insecure_bind", addresses=list(addresses), mode=mode().value)
        await pass_by(clock, EVERY)
