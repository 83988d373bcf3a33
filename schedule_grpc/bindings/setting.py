"""The configuration of a binding: a URL, or a table of a URL and options; and the secrets in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from schedule_grpc.domain import durations
from schedule_grpc.errors import BindingError, ConfigurationError
from schedule_grpc.text.secrets import Secrets

DEFAULT_TIMEOUT = timedelta(seconds=10)
SHORTEST_TIMEOUT = durations.MILLISECOND
LONGEST_TIMEOUT = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One binding's configuration."""

    name: str
    url: str = field(repr=False)
    timeout: timedelta = DEFAULT_TIMEOUT
    """How long one call may take."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    secrets: Secrets = field(default_factory=Secrets, repr=False, compare=False)

    @property
    def scheme(self) -> str:
        """What stands before ``://``; empty if nothing does."""
        scheme, separator, _ = self.url.partition("://")
        return scheme if separator else ""

    def refused(self, reason: str) -> ConfigurationError:
        """Return the error that names this binding and a reason."""
        return ConfigurationError(self.secrets.hide(f"bindings.{self.name}: {reason}"))

    def hidden(self, error: BindingError) -> BindingError:
        """Return an error of this binding without secrets: the same one where it has none."""
        reason = error.message.removeprefix(f"{self.name}: ")
        covered = self.secrets.hide(reason)
        return error if covered == reason else BindingError(self.name, covered, missing_table=error.missing_table)

    def text(self, option: str) -> str | None:
        """Return an option that is a text, None if it is not set.

        Raises:
            ConfigurationError: if it is something else, or empty.
        """
        value = self.options.get(option)
        if value is not None and (not isinstance(value, str) or not value):
            raise self.refused(f"{option} is not a text")
        return value

    def whole_number(self, option: str, default: int, *, most: int) -> int:
        """Return an option that is a whole number from 1 on.

        Raises:
            ConfigurationError: if it is none, or too large.
        """
        value = self.options.get(option, default)
        if isinstance(value, str) and value.isascii() and value.isdigit():  # as the environment gives it
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise self.refused(f"{option} is not a whole number from 1 to {most}")
        return value

    def flag(self, option: str, *, default: bool) -> bool:
        """Return an option that is true or false, as text too.

        Raises:
            ConfigurationError: if it is neither.
        """
        value = self.options.get(option, default)
        if not isinstance(value, bool) and value not in ("true", "false"):
            raise self.refused(f"{option} is neither true nor false")
        return value in (True, "true")

    def duration(self, option: str, default: timedelta) -> timedelta:
        """Return an option that is a duration: text such as ``10s``, a number of seconds, or a timedelta.

        Raises:
            ConfigurationError: if it is none, or outside of 1 ms to 24 h.
        """
        value = self.options.get(option, default)
        try:
            length = value if isinstance(value, timedelta) else durations.read(str(value))
        except ValueError as error:
            raise self.refused(f"{option}: {error}") from None
        if isinstance(value, bool) or not SHORTEST_TIMEOUT <= length <= LONGEST_TIMEOUT:
            raise self.refused(f"{option} is not a duration from 1ms to 24h")
        return length


def read_setting(name: str, configured: str | Mapping[str, Any]) -> Setting:
    """Return a binding's configuration.

    Args:
        name: Its name, such as ``DB``.
        configured: A URL, or a mapping with ``url``, ``timeout`` and the options of its kind.

    Raises:
        ConfigurationError: for a name that is no upper-case identifier, and for an unreadable configuration.
    """
    if not name.isidentifier() or name != name.upper():
        raise ConfigurationError(f"bindings: {name!r} is not an upper-case name such as DB")
    options = {"url": configured} if isinstance(configured, str) else dict(configured)
    url = options.pop("url", None)
    if not isinstance(url, str):
        raise ConfigurationError(f"bindings.{name}: has no url")
    secrets = Secrets()
    try:
        secrets.add_url(url)
    except ValueError as error:
        raise ConfigurationError(f"bindings.{name}: {error}") from None
    secrets.add_options(options)
    setting = Setting(name=name, url=url, options=options, secrets=secrets)
    timeout = setting.duration("timeout", DEFAULT_TIMEOUT)
    options.pop("timeout", None)
    return Setting(name=name, url=url, timeout=timeout, options=options, secrets=secrets)
