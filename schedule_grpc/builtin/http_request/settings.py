"""The operator's settings of http-request, for all tasks: allowed hosts, secrets, certificates."""

import os
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path

from schedule_grpc.builtin.http_request.addresses import (
    INSIDE,
    ORDINARY,
    Address,
    Refused,
    Target,
    Unresolved,
    kind_of,
    read_host,
    resolve,
)
from schedule_grpc.errors import ConfigurationError
from schedule_grpc.runtime.threads import in_thread
from schedule_grpc.text.secrets import shown

SECRET_PREFIX = "SCHEDULE_SECRET_"  # noqa: S105 (the beginning of a name)
MAX_SECRET_BYTES = 16 * 1024

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class _Rule:
    """One line of an allow-list: ``api.example.com``, ``*.example.com``, ``10.0.0.5:8080``, ``[::1]:80``, ``*``."""

    host: str
    port: int | None

    def matches(self, target: Target) -> bool:
        if self.port is not None and self.port != target.port:
            return False
        return self.host in ("*", target.host) or (self.host.startswith("*.") and target.host.endswith(self.host[1:]))


class HttpSettings:
    """The hosts that http-request may call, and its secrets. Handlers find it as ``ctx.env.HTTP``."""

    def __init__(
        self,
        *,
        allow_hosts: Iterable[str] = (),
        allow_private_hosts: Iterable[str] = (),
        secrets_dir: Path | str | None = None,
        ca_file: Path | str | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        """Take the settings.

        Args:
            allow_hosts: Hosts at public addresses: ``api.example.com`` (with any port), ``api.example.com:8443``,
                ``*.example.com`` (all names below it), ``*`` (the whole internet). None by default.
            allow_private_hosts: Hosts that may have private and loopback addresses too. An address of
                another kind (link-local, a cloud's metadata) must be listed itself. ``*`` is refused.
            secrets_dir: The folder of files that headers may refer to; None allows no file.
            ca_file: Certificates of authorities, in PEM, that are trusted beside those of the machine.
            resolver: Finds the addresses of a name.

        Raises:
            ConfigurationError: if a host cannot be read.
        """
        self._rules = tuple(_rule("allow_hosts", text) for text in allow_hosts)
        self._private = tuple(_rule("allow_private_hosts", text) for text in allow_private_hosts)
        if any(rule.host == "*" for rule in self._private):
            raise ConfigurationError(
                "http_request.allow_private_hosts: '*' would open every private address: name them"
            )
        self._secrets_dir = None if secrets_dir is None else Path(secrets_dir)
        self._ca_file = None if ca_file is None else Path(ca_file)
        self._resolver = resolver

    async def addresses(self, target: Target) -> Sequence[str]:
        """Return the addresses of a target's host, after checking every one.

        A caller that connects to one of them, and not to the name, is safe from a second, different answer of the DNS.

        Raises:
            Refused: if the host or one of its addresses is not allowed.
            Unresolved: if the host has no address now.
        """
        permitted = self._permitted(target)
        try:
            found = [str(ip_address(target.host))]
        except ValueError:
            try:
                found = list(await self._resolver(target.host, target.port))
            except (OSError, UnicodeError) as error:
                raise Unresolved(f"{target.host} has no address: {error}") from None
        if not found:
            raise Unresolved(f"{target.host} has no address")
        for text in found:
            self._check(target, ip_address(text), permitted)
        return found

    def secret(self, reference: dict[str, str]) -> str:
        """Return the secret of ``{"env": NAME}`` or ``{"file": PATH}``, without a line break at its end.

        Raises:
            Refused: if a payload may not refer to it, or it does not exist; the text never has the secret itself.
        """
        name = reference.get("env")
        if name is not None:
            if not name.startswith(SECRET_PREFIX):
                raise Refused(f"the variable {name!r} does not begin with {SECRET_PREFIX}")
            found = os.environ.get(name, "")
            if not found:
                raise Refused(f"the variable {name} is not set")
            return found
        path = reference["file"]
        if self._secrets_dir is None:
            raise Refused("no folder for secrets is configured ([http_request] secrets_dir)")
        inside = self._secrets_dir.resolve()
        # Links within the folder are followed: Kubernetes mounts secrets so.
        if not path.isprintable() or not (file := (inside / path).resolve()).is_relative_to(inside):
            raise Refused(f"the file {path!r} is outside of the folder for secrets")
        try:
            with file.open("rb") as opened:
                read = opened.read(MAX_SECRET_BYTES + 1)
        except OSError as error:
            raise Refused(f"the file {path!r}: {error.strerror}") from None
        text = read.decode("utf-8", "replace").rstrip("\r\n")
        if not text or len(read) > MAX_SECRET_BYTES:
            raise Refused(f"the file {path!r} is empty, or larger than {MAX_SECRET_BYTES} bytes")
        return text

    async def prepare(self) -> None:
        """Load the TLS context in a thread, so that other attempts go on: the first time takes 150 ms.

        Raises:
            ConfigurationError: if the authorities' file cannot be read.
        """
        if "tls" not in self.__dict__:
            await in_thread(lambda _: self.tls, name="prepare http-request", abandon=True)

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """The TLS context that verifies servers' certificates; made once, in some 20 ms.

        Raises:
            ConfigurationError: if the authorities' file cannot be read.
        """
        from httpx2 import create_ssl_context  # noqa: PLC0415

        context = create_ssl_context(trust_env=False)
        if self._ca_file is not None:
            try:
                context.load_verify_locations(self._ca_file)
            except OSError as error:
                raise ConfigurationError(f"http_request.ca_file: {self._ca_file}: {error}") from None
        return context

    def _permitted(self, target: Target) -> frozenset[str]:
        if any(rule.matches(target) for rule in self._private):
            return INSIDE
        if any(rule.matches(target) for rule in self._rules):
            return ORDINARY
        raise Refused(f"{target.host}:{target.port} is not in [http_request] allow_hosts")

    def _check(self, target: Target, address: Address, permitted: frozenset[str]) -> None:
        kind = kind_of(address)
        itself = permitted is INSIDE and any(rule.host == str(address) for rule in self._private)
        if kind in permitted or itself:
            return
        raise Refused(f"{target.host} has the address {address}, which is {kind}, and that is not allowed")


def _rule(field: str, text: str) -> _Rule:
    host, port = text.strip(), None
    if host.count(":") == 1 or "]:" in host:
        host, _, number = host.rpartition(":")
        port = int(number) if number.isascii() and number.isdigit() else 0
    try:
        below = host.startswith("*.")
        name = "*" if host == "*" else read_host(_ascii(host.removeprefix("*.").strip("[]")))
    except ValueError:
        name = "/"
    if port == 0 or any(character in name for character in "/@?#\\ ") or ("*" in name and name != "*"):
        raise ConfigurationError(
            f"http_request.{field}: {shown(text)!r} is not a host such as api.example.com or *.example.com"
        )
    return _Rule(f"*.{name}" if below else name, port)


def _ascii(host: str) -> str:
    if host.isascii():
        return host
    from httpx2 import URL, InvalidURL  # noqa: PLC0415 (as URLs are read, or another host would be meant)

    try:
        return URL(f"http://{host}/").raw_host.decode("ascii")
    except InvalidURL as error:
        raise Refused(str(error)) from None
