"""What a test gives: the handler, its bindings, and what time it is."""

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
"""What time it is in a test that does not say."""


class GivenEnvironment:
    """``ctx.env`` in a test: doubles of its own, and what is opened from URLs as a server opens it."""

    __slots__ = ("_bindings", "_opened")

    def __init__(self, bindings: Mapping[str, Any]) -> None:
        """Take bindings by name: a text is a URL as in the configuration, all else is handed to handlers as it is.

        Raises:
            ConfigurationError: for a name that is not an upper-case identifier, and for a URL that no binding is opened
                from.
        """
        for name in bindings:
            if not name.isidentifier() or name != name.upper():
                raise ConfigurationError(f"bindings: {name!r} is not an upper-case name such as DB")
        urls = {name: binding for name, binding in bindings.items() if isinstance(binding, str)}
        self._opened = Environment(urls)
        self._bindings = {name: getattr(self._opened, name) if name in urls else bindings[name] for name in bindings}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what Python itself looks for, before __init__ too
            raise AttributeError(name)
        try:
            return self._bindings[name]
        except KeyError:
            names = ", ".join(sorted(self._bindings)) or "none"
            raise ConfigurationError(f"no binding is named {name} (bindings: {names})") from None

    def names(self) -> tuple[str, ...]:
        """Return the names of the bindings, as they were given."""
        return tuple(self._bindings)

    async def ping(self, name: str) -> None:
        """Return if a binding answers; a double that cannot be asked does.

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
        """Close what was opened here; doubles are the test's own."""
        await self._opened.aclose()


@asynccontextmanager
async def given_environment(given: Mapping[str, Any] | Env | None) -> AsyncIterator[Env]:
    """Within this context there is what handlers get as ``ctx.env``: a whole one of the test's, or one of its bindings.

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
    """Return the clock of a test that gave one, or when it begins, or neither.

    Raises:
        ValueError: if it gave both, or an instant that is not aware.
    """
    if clock is not None and start is not None:
        raise ValueError("the clock says what time it is: give one of them")
    return clock or FakeClock(start or otherwise)


def offer_of(function: Callable[..., Any]) -> Offer:
    """Return what a handler's module offers by this function.

    Raises:
        ConfigurationError: if it is not decorated with `handler`.
    """
    registry = Registry()
    registry.add_function(function)
    (offer,) = registry
    return offer
