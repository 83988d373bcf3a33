"""The bindings of a server, as handlers see them: ``ctx.env.DB``."""

import asyncio
from collections.abc import Mapping
from typing import Any

from schedule_grpc.bindings.kinds import Surroundings, opener_of
from schedule_grpc.bindings.lazy import LazyBinding
from schedule_grpc.bindings.setting import read_setting
from schedule_grpc.errors import BindingError, ConfigurationError, ScheduleError
from schedule_grpc.runtime.clock import Clock, SystemClock


class Environment:
    """Bindings by name. Each is opened when it is first used, once, and closed with the environment, for good.

    All handlers share it, so none of them can put something else in a binding's place.
    """

    __slots__ = ("_bindings", "_settings")

    def __init__(
        self, bindings: Mapping[str, str | Mapping[str, Any]], *, clock: Clock | None = None, creates: bool = True
    ) -> None:
        """Take bindings by name.

        Args:
            bindings: A URL each, or a mapping of ``url``, ``timeout`` (10 s) and the options of its kind.
            clock: By which calls are limited, and jobs are dated; None takes the machine's.
            creates: Whether a database may be given the platform's tables as it is opened, where it should.

        Raises:
            ConfigurationError: for a name that is not an upper-case identifier, for a URL that no binding is opened
                from, and for an option that cannot be used; what stands behind it is tried at first use.
        """
        clock = clock or SystemClock()
        settings = [read_setting(name, configured) for name, configured in bindings.items()]
        surroundings = Surroundings(names=frozenset(bindings), find=self.__getattr__, clock=clock, creates=creates)
        self._settings = {setting.name: setting for setting in settings}
        self._bindings = {
            setting.name: LazyBinding(setting, opener_of(setting, surroundings), clock=clock) for setting in settings
        }

    def __getattr__(self, name: str) -> LazyBinding:
        if name.startswith("__") or name in ("_bindings", "_settings"):  # what Python looks for, before __init__ too
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
        """Return if what stands behind a binding answers.

        Raises:
            BindingError: if not, in time; without a secret in its text.
            ConfigurationError: if no binding has that name.
        """
        binding = self.__getattr__(name)
        try:
            await binding.ping()
        except ScheduleError:
            raise
        except Exception as error:  # noqa: BLE001 (a user's object may raise anything)
            reason = self._settings[name].secrets.hide(f"{type(error).__name__}: {error}")
            raise BindingError(name, reason) from None

    async def aclose(self) -> None:
        """Close what was opened."""
        await asyncio.gather(*(binding.aclose() for binding in self._bindings.values()))
