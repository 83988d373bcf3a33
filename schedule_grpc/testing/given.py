"""The parts that a test gives: the handler, its bindings, and the time."""

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from schedule_grpc.bindings import Environment
from schedule_grpc.errors import BindingError, ConfigurationError, ScheduleError
from schedule_grpc.handlers import Env, Offer, Registry
from schedule_grpc.testing.fake_clock import FakeClock

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
"""The time of a test that gives none."""


class GivenEnvironment:
    """``ctx.env`` in a test: the test's doubles, and bindings opened from URLs as a server opens them."""

    __slots__ = ("_bindings", "_opened")

    def __init__(self, bindings: Mapping[str, Any]) -> None:
        """Take bindings by name: a text is a URL as in the configuration, any other object is handed to handlers.

        Raises:
            ConfigurationError: for a name that is not an upper-case identifier, and for a URL of no known binding.
        """
        for name in bindings:
            if not name.isidentifier() or name != name.upper():
                raise ConfigurationError(f"bindings: {name!r} is not an upper-case name such as DB")
        urls = {name: binding for name, binding in bindings.items() if isinstance(binding, str)}
        self._opened = Environment(urls)
        self._bindings = {name: getattr(self._opened, name) if name in urls else bindings[name] for name in bindings}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # Python looks up such names itself, even before __init__
            raise AttributeError(name)
        try:
            return self._bindings[name]
        except KeyError:
            names = ", ".join(sorted(self._bindings)) or "none"
            raise ConfigurationError(f"no binding is named {name} (bindings: {names})") from None

    def names(self) -> tuple[str, ...]:
        """Return the names of the bindings, in the order in which they were given."""
        return tuple(self._bindings)

    async def ping(self, name: str) -> None:
        """Ping a binding; a double without ``ping`` counts as answering.

        Raises:
            ConfigurationError: if no binding has that name.
            BindingError: if it does not answer.
        """
        ping = getattr(self.__getattr__(name), "ping", None)
        try:
            answer = ping() if ping is not None else None
            if inspect.isawaitable(answer):
                await answer
        except ScheduleError:
            raise
        except Exception as error:  # a double may raise anything
            raise BindingError(name, f"{type(error).__name__}: {error}") from error

    async def aclose(self) -> None:
        """Close the bindings that were opened here; doubles belong to the test."""
        await self._opened.aclose()


@asynccontextmanager
async def given_environment(given: Mapping[str, Any] | Env | None) -> AsyncIterator[Env]:
    """Open, for this context, the ``ctx.env`` of handlers: an environment of the test's, or one made of its bindings.

    Raises:
        ConfigurationError: as `GivenEnvironment`.
    """
    if given is None or isinstance(given, Mapping):
        opened = GivenEnvironment(given or {})
        try:
            yield opened
        finally:
            await opened.aclose()
    else:
        yield given


def given_clock(clock: FakeClock | None, start: datetime | None, otherwise: datetime = NOON) -> FakeClock:
    """Return the test's clock, or a new one that begins at ``start``, else at ``otherwise``.

    Raises:
        ValueError: if both are given, or the instant is not aware.
    """
    if clock is not None and start is not None:
        raise ValueError("a clock has its time: give one of them")
    return clock or FakeClock(start or otherwise)


def offer_of(function: Callable[..., Any]) -> Offer:
    """Return the offer of a decorated function.

    Raises:
        ConfigurationError: if it is not decorated with `handler`.
    """
    registry = Registry()
    registry.add_function(function)
    (offer,) = registry
    return offer
