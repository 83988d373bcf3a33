"""Where alerts go: webhooks, and services that apprise knows (with the extra ``alerts``)."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import logging
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from schedule_grpc.alerts.message import Message
from schedule_grpc.errors import BindingError, ConfigurationError
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.threads import in_thread
from schedule_grpc.text.secrets import SHORTEST_SECRET, Secrets

TIMEOUT = timedelta(seconds=10)
AT_ONCE = 8
"""Messages that one target is sent at once; waiting for a turn counts as waiting for the target."""
WEBHOOK = ("http", "https")
ENCODED = b"whsec_"
"""Before a secret in base64, as the libraries of Standard Webhooks have it."""
_OK = range(200, 300)


class Target(Protocol):
    """A receiver of alerts."""

    name: str
    """Without secrets."""

    async def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            BindingError: if it could not be delivered.
        """

    async def aclose(self) -> None:
        """Close the connection."""


def open_targets(urls: Sequence[str], *, secret: bytes | None, clock: Clock) -> tuple[Target, ...]:
    """Return the targets of URLs: ``http(s)://`` is a webhook, anything else is apprise's.

    Args:
        urls: The configured URLs.
        secret: Signs the messages to webhooks; None leaves them unsigned.
        clock: Gives the signatures' time, and the timeouts of targets.

    Raises:
        ConfigurationError: for a URL that neither we nor apprise know, or that needs the extra ``alerts``.
    """
    key = None if secret is None else _key(secret)
    return tuple(_target(url, key, clock) for url in urls)


def read_secret(file: Path | None) -> bytes | None:
    """Return the secret that a file holds; None where no file is named.

    Raises:
        ConfigurationError: if it cannot be read.
    """
    try:
        return None if file is None else file.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(f"alerts.secret_file: {error}") from error


class Log:
    """The server's log, which has a line of every message to a target: this target has nothing else to do."""

    name = "log"

    async def send(self, message: Message) -> None:
        """Do nothing more."""

    async def aclose(self) -> None:
        """Nothing is kept open."""


class Webhook:
    """A URL that takes JSON, signed by the specification of https://www.standardwebhooks.com."""

    def __init__(self, url: str, *, key: bytes | None, clock: Clock) -> None:
        import httpx2  # noqa: PLC0415 (50 ms to import; most servers have no webhook)

        parts = urlsplit(url)
        try:
            usable = bool(parts.hostname) and parts.port != 0 and bool(httpx2.URL(url).host)
        except (ValueError, httpx2.InvalidURL):  # neither is repeated: its message may quote secrets
            usable = False
        if not usable:
            raise ConfigurationError(f"alerts.urls: {parts.scheme}://… names no host, or a port that is none")
        self.name = f"{parts.scheme}://{parts.hostname}"
        self._url = url
        self._key = key
        self._clock = clock
        self._errors = httpx2.HTTPError
        self._client = httpx2.AsyncClient(
            timeout=TIMEOUT.total_seconds(),
            follow_redirects=False,
            trust_env=False,
            limits=httpx2.Limits(max_connections=AT_ONCE),
        )

    async def send(self, message: Message) -> None:
        """POST the message; the answer must be 2xx, and is not read beyond its status: it may be of any size."""
        content = json.dumps(message.as_json(), ensure_ascii=False, separators=(",", ":")).encode()
        headers = {"content-type": "application/json", **self._signed(message.id, content)}
        try:
            async with (
                self._clock.timeout(TIMEOUT.total_seconds()),
                self._client.stream("POST", self._url, content=content, headers=headers) as response,
            ):
                status = response.status_code
        except (self._errors, TimeoutError) as error:
            raise BindingError(self.name, f"{type(error).__name__}") from None
        if status not in _OK:
            raise BindingError(self.name, f"answered {status}")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _signed(self, message_id: str, content: bytes) -> dict[str, str]:
        sent = str(int(self._clock.now().timestamp()))
        headers = {"webhook-id": message_id, "webhook-timestamp": sent}
        if self._key is not None:
            signed = f"{message_id}.{sent}.".encode() + content
            digest = hmac.new(self._key, signed, hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
        return headers


class Apprise:
    """A service that apprise knows: mailto://, slack://, discord:// and a hundred more."""

    def __init__(self, url: str, *, clock: Clock) -> None:
        try:
            import apprise  # noqa: PLC0415 (an extra)
        except ImportError:
            raise ConfigurationError(
                "alerts.urls: only http:// and https:// without the extra: pip install 'schedule-grpc[alerts]'"
            ) from None
        self.name = f"{urlsplit(url).scheme}://"
        self._lines = logging.getLogger("apprise")
        self._covering = _Covering(url)
        self._lines.addFilter(self._covering)
        self._clock = clock
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._apprise: Any = apprise.Apprise()
        if not self._apprise.add(url):
            self._lines.removeFilter(self._covering)
            raise ConfigurationError(f"alerts.urls: apprise does not understand a URL of {self.name}")

    async def send(self, message: Message) -> None:
        """Hand the message to apprise, whose own timeouts come before ours."""
        try:
            async with self._clock.timeout(2 * TIMEOUT.total_seconds()), self._turns:
                # Not a thread of the loop's own executor: those are waited for when the process ends.
                sent = await in_thread(lambda _: self._notify(message), name="apprise", abandon=True)
        except TimeoutError:
            raise BindingError(self.name, "TimeoutError") from None
        if not sent:
            raise BindingError(self.name, "apprise could not deliver it")

    def _notify(self, message: Message) -> bool:
        return bool(self._apprise.notify(title=message.title, body=message.body or message.title))

    async def aclose(self) -> None:
        """Nothing is kept open, but its lines are not looked at any more."""
        self._lines.removeFilter(self._covering)


class _Covering(logging.Filter):
    """Takes a URL out of the lines that apprise logs: it quotes the one that it does not understand, and its parts."""

    def __init__(self, url: str) -> None:
        super().__init__()
        parts = [part for part in re.split(r"[/:@?&=#,;]+", url.partition(":")[2]) if len(part) >= SHORTEST_SECRET]
        self._secrets = Secrets([url, *parts, *map(unquote, parts)])

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._secrets.hide(record.getMessage()), ()
        return True


def _target(url: str, key: bytes | None, clock: Clock) -> Target:
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        raise ConfigurationError("alerts.urls: one of them cannot be read as a URL") from None
    return Webhook(url, key=key, clock=clock) if scheme in WEBHOOK else Apprise(url, clock=clock)


def _key(secret: bytes) -> bytes:
    """Return the signing key: the secret's own bytes, or the bytes that it spells in base64."""
    try:
        key = base64.b64decode(secret.removeprefix(ENCODED), validate=True) if secret.startswith(ENCODED) else secret
    except binascii.Error:
        raise ConfigurationError("alerts.secret_file: what follows whsec_ is not base64") from None
    if not key:
        raise ConfigurationError("alerts.secret_file: holds no secret")
    return key
