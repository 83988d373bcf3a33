"""The road to an issuer's keys: a careful request, or a file."""

from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from schedule_grpc.access.jwt_keys import Fetch, NotFetched
from schedule_grpc.access.jwt_rules import KeySource
from schedule_grpc.builtin.http_request.addresses import INSIDE, PORTS, Refused, Unresolved, kind_of, read_url
from schedule_grpc.builtin.http_request.payload import Asked
from schedule_grpc.builtin.http_request.sending import send
from schedule_grpc.builtin.http_request.settings import HttpSettings, Reach
from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.errors import ConfigurationError
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.threads import in_thread
from schedule_grpc.text.secrets import Secrets

MOST_BYTES = 512 * 1024
"""The size of a key set."""
MOST_TOKEN_BYTES = 16 * 1024
SECONDS = 10.0
"""The time for a request, all in all."""
_OK = 200


def fetch_by(clock: Clock) -> Fetch:
    """Return the function that fetches key sets.

    A URL is asked as http-request asks one: the address is checked (no link-local address, no cloud's metadata), the
    certificate is verified, no redirect is followed, no proxy of the environment is used, and the answer is bounded.
    """

    async def fetch(source: KeySource) -> bytes:
        if not source.url:
            return await in_thread(lambda _: _content(source.file or Path(), MOST_BYTES), name="read jwt keys")
        try:
            async with clock.timeout(SECONDS):
                return await _answer(source)
        except TimeoutError:
            raise NotFetched(f"no answer within {SECONDS:g} s") from None

    return fetch


async def _answer(source: KeySource) -> bytes:
    host = urlsplit(source.url).hostname or ""
    _refuse_strange(host)
    port = urlsplit(source.url).port or PORTS[urlsplit(source.url).scheme]
    listed = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        settings = HttpSettings(allow_private_hosts=[listed], ca_file=source.ca_file)
        return await _sent(source, await settings.within(DEFAULT_NAMESPACE))
    except (Refused, Unresolved, ConfigurationError) as error:
        raise NotFetched(str(error)) from None


def _refuse_strange(host: str) -> None:
    """Refuse an address that http-request would call, because it is listed itself: link-local, a cloud's metadata."""
    try:
        kind = kind_of(ip_address(host))
    except ValueError:  # a name: its addresses are checked when they are known
        return
    if kind not in INSIDE:
        raise NotFetched(f"{host} is {kind}, and that is not allowed")


async def _sent(source: KeySource, reach: Reach) -> bytes:
    from httpx2 import HTTPError  # noqa: PLC0415 (50 ms, and most servers send none)

    headers, secrets = {"accept": "application/json"}, Secrets()
    if source.token_file is not None:
        token = await in_thread(lambda _: _token(source.token_file or Path()), name="read a token")
        headers["authorization"] = f"Bearer {token}"
        secrets.add(token)
    asked = Asked(
        method="GET",
        target=read_url(source.url),
        headers=headers,
        content=b"",
        expected=(),
        timeout=None,
        kept_bytes=MOST_BYTES,
        max_redirects=0,
        secrets=secrets,
    )
    try:
        answer = await send(asked, reach, ours={})
    except HTTPError as error:
        raise NotFetched(f"{type(error).__name__} {secrets.hide(str(error))}".rstrip()) from None
    if answer.status != _OK:
        raise NotFetched(f"it answered {answer.status}")
    if len(answer.body) > MOST_BYTES:
        raise NotFetched(f"the answer is larger than {MOST_BYTES} bytes")
    return answer.body


def _token(path: Path) -> str:
    token = _content(path, MOST_TOKEN_BYTES).decode("ascii", "replace").strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise NotFetched(f"{path} has something else than one token")
    return token


def _content(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as opened:
            read = opened.read(most + 1)
    except OSError as error:
        raise NotFetched(f"{path}: {error.strerror}") from None
    if len(read) > most:
        raise NotFetched(f"{path} is larger than {most} bytes")
    return read
