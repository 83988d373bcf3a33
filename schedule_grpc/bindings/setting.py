"""How a binding is configured: a URL, or a table of a URL and options; and what of it nobody may ever read."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from schedule_grpc import durations
from schedule_grpc.errors import BindingError, ConfigurationError

DEFAULT_TIMEOUT = timedelta(seconds=10)
SHORTEST_TIMEOUT = timedelta(milliseconds=1)
LONGEST_TIMEOUT = timedelta(hours=24)
SHORTEST_SECRET = 4
"""Where a shorter one occurs in a text, stars in its place would only show where it is."""

_SECRET_NAME = re.compile(r"pass|secret|token|key|credential|auth", re.IGNORECASE)
_NOT_ITSELF = re.compile(r"_(env|file)$|passfile|sslkey$", re.IGNORECASE)
"""Names of what only tells where a secret is."""


class Secrets:
    """What no error, log line or repr may show."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def add(self, *secrets: str) -> None:
        """Take what must stay hidden."""
        self._secrets.update(secret for secret in secrets if secret)

    def add_url(self, url: str) -> None:
        """Take what is secret in a URL.

        Raises:
            ValueError: if it cannot be told.
        """
        self.add(*_secrets_of(url))

    def add_options(self, options: Mapping[str, Any]) -> None:
        """Take what is secret in options, and in tables within them: by its name, or in a URL."""
        for name, value in options.items():
            if isinstance(value, Mapping):
                self.add_options(value)
            elif isinstance(value, str) and _is_secret(name):
                self.add(value)
            elif isinstance(value, str) and "://" in value:
                with suppress(ValueError):
                    self.add_url(value)

    def hide(self, text: str) -> str:
        """Return a text with stars for each secret."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            if len(secret) < SHORTEST_SECRET and secret in text:
                return "failed (what it said may hold a secret, and is not shown)"
            text = text.replace(secret, "***")
        return text

    def hidden(self, error: BindingError, name: str) -> BindingError:
        """Return an error of a binding without secrets: the same one where it has none."""
        said = error.message.removeprefix(f"{name}: ")
        shown = self.hide(said)
        return error if shown == said else BindingError(name, shown)


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
        """Return the error that says what is wrong with this binding."""
        return ConfigurationError(self.secrets.hide(f"bindings.{self.name}: {reason}"))

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


def read_setting(name: str, told: str | Mapping[str, Any]) -> Setting:
    """Return a binding's configuration.

    Args:
        name: Its name, such as ``DB``.
        told: A URL, or a mapping with ``url``, ``timeout`` and the options of its kind.

    Raises:
        ConfigurationError: for a name that is no upper-case identifier, and for what cannot be read.
    """
    if not name.isidentifier() or name != name.upper():
        raise ConfigurationError(f"bindings: {name!r} is not an upper-case name such as DB")
    options = {"url": told} if isinstance(told, str) else dict(told)
    url = options.pop("url", None)
    if not isinstance(url, str):
        raise ConfigurationError(f"bindings.{name}: has no url")
    secrets = Secrets()
    try:
        secrets.add_url(url)
    except ValueError as error:
        raise ConfigurationError(f"bindings.{name}: its URL cannot be read: {error}") from None
    secrets.add_options(options)
    setting = Setting(name=name, url=url, options=options, secrets=secrets)
    timeout = setting.duration("timeout", DEFAULT_TIMEOUT)
    options.pop("timeout", None)
    return Setting(name=name, url=url, timeout=timeout, options=options, secrets=secrets)


def shown(url: str) -> str:
    """Return a URL as an error may quote it: without user, password and parameters."""
    bare, question, _ = url.partition("?")
    scheme, separator, rest = bare.partition("://")
    if "@" in rest:
        rest = "***@" + rest.rpartition("@")[2]
    return f"{scheme}{separator}{rest}{'?…' if question else ''}"


def _secrets_of(url: str) -> Iterator[str]:
    for part in re.split(r";(?=[\w+.-]+://)", url):  # a queue may name several servers
        split = urlsplit(part)
        if split.netloc and ("@" in split.path + split.query + split.fragment):
            raise ValueError("percent-encode what is special in its user and password (/ is %2F, ? is %3F, # is %23)")
        _, _, password = split.netloc.rpartition("@")[0].partition(":")
        yield from (password, unquote(password))
        for name, value in parse_qsl(split.query):
            if _is_secret(name):
                yield value


def _is_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name)) and not _NOT_ITSELF.search(name)
