"""How long tests wait for what is sure to come: a guard against hanging, never a claim about speed.

A claim about speed is an assertion of its own, with the promise that it proves beside it.
"""

from typing import Any

from schedule_grpc.client import AsyncClient

AT_MOST = 240
"""Seconds; the slowest machine that the tests have met needed a third of it."""


def calling(address: str, **options: Any) -> AsyncClient:
    """Return a client that waits for its answers as long as tests do: the usual deadline is a claim about speed."""
    return AsyncClient(address, **({"deadline": AT_MOST} | options))
