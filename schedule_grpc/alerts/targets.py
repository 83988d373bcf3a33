"""Where alerts go: webhooks, and whatever apprise knows (with the extra ``alerts``)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

from schedule_grpc.alerts.message import Message
from schedule_grpc.clock import Clock
from schedule_grpc.errors import BindingError, ConfigurationError
from schedule_grpc.threads import in_thread

TIMEOUT = timedelta(seconds=10)
WEBHOOK = ("http://", "https://")
_OK = range(200, 300)


class Target(Protocol):
    """Somebody who is told."""

    name: str
    """Without what must stay secret."""

    async def send(self, message: Message) -> None:
        """Tell them.

        Raises:
            BindingError: if they could not be told.
        """

    async def aclose(self) -> None:
        """Let go of the connection."""


def open_targets(urls: Sequence[str], *, secret: bytes | None, clock: Clock) -> tuple[Target, ...]:
    """Return the targets of URLs: ``http(s)://`` is a webhook, anything else is apprise's.

    Args:
        urls: As configured.
        secret: Signs what webhooks are sent; None leaves it unsigned.
        clock: Whose time the signatures have, and by which targets are given up.

    Raises:
        ConfigurationError: for a URL that nobody understands, or that needs the extra ``alerts``.
    """
    return tuple(
        Webhook(url, secret=secret, clock=clock) if url.startswith(WEBHOOK) else Apprise(url, clock=clock)
        for url in urls
    )


class Webhook:
    """A URL that takes JSON, signed as https://www.standardwebhooks.com says."""

    def __init__(self, url: str, *, secret: bytes | None, clock: Clock) -> None:
        import httpx2  # noqa: PLC0415 (50 ms to import; most servers have no webhook)

        parts = urlsplit(url)
        if not parts.hostname:
            raise ConfigurationError(f"alerts.urls: {parts.scheme}://… names no host")
        self.name = f"{parts.scheme}://{parts.hostname}"
        self._url = url
        self._secret = secret
        self._clock = clock
        self._errors = httpx2.HTTPError
        self._client = httpx2.AsyncClient(timeout=TIMEOUT.total_seconds(), follow_redirects=False, trust_env=False)

    async def send(self, message: Message) -> None:
        """POST the message; the answer must be 2xx."""
        content = json.dumps(message.as_json(), ensure_ascii=False, separators=(",", ":")).encode()
        headers = {"content-type": "application/json", **self._signed(message.id, content)}
        try:
            async with self._clock.timeout(TIMEOUT.total_seconds()):
                response = await self._client.post(self._url, content=content, headers=headers)
        except (self._errors, TimeoutError) as error:
            raise BindingError(self.name, f"{type(error).__name__}") from None
        if response.status_code not in _OK:
            raise BindingError(self.name, f"answered {response.status_code}")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _signed(self, message_id: str, content: bytes) -> dict[str, str]:
        sent = str(int(self._clock.now().timestamp()))
        headers = {"webhook-id": message_id, "webhook-timestamp": sent}
        if self._secret is not None:
            signed = f"{message_id}.{sent}.".encode() + content
            digest = hmac.new(self._secret, signed, hashlib.sha256).digest()
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
        self._clock = clock
        self._apprise: Any = apprise.Apprise()
        if not self._apprise.add(url):
            raise ConfigurationError(f"alerts.urls: apprise does not understand a URL of {self.name}")

    async def send(self, message: Message) -> None:
        """Hand the message to apprise, whose own timeouts come before ours."""
        try:
            async with self._clock.timeout(2 * TIMEOUT.total_seconds()):
                # Not a thread of the loop's own executor: those are waited for when the process ends.
                sent = await in_thread(lambda _: self._notify(message), name="apprise", abandon=True)
        except TimeoutError:
            raise BindingError(self.name, "TimeoutError") from None
        if not sent:
            raise BindingError(self.name, "apprise could not deliver it")

    def _notify(self, message: Message) -> bool:
        return bool(self._apprise.notify(title=message.title, body=message.body or message.title))

    async def aclose(self) -> None:
        """Nothing is kept open."""
