"""Lists of hosts, as an operator writes them, and the addresses of a host that is in one."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from schedule_grpc.builtin.http_request.addresses import (
    INSIDE,
    ORDINARY,
    Address,
    Refused,
    Target,
    Unresolved,
    kind_of,
    read_host,
    written,
)
from schedule_grpc.errors import ConfigurationError
from schedule_grpc.text.secrets import shown

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Finds the addresses of a name; raises OSError if it has none."""


@dataclass(frozen=True, slots=True)
class HostRule:
    """One line of a list of hosts: ``api.example.com``, ``*.example.com``, ``10.0.0.5:8080``, ``[::1]:80``, ``*``."""

    host: str
    port: int | None

    def matches(self, target: Target) -> bool:
        """Return whether a target is meant."""
        if self.port is not None and self.port != target.port:
            return False
        return self.host in ("*", target.host) or (self.host.startswith("*.") and target.host.endswith(self.host[1:]))


class AllowedHosts:
    """The hosts that a task may call."""

    def __init__(
        self, *, place: str, allow_hosts: Iterable[str], allow_private_hosts: Iterable[str], resolver: Resolver
    ) -> None:
        """Take the lists.

        Args:
            place: The table of the settings that has them.
            allow_hosts: Hosts at public addresses.
            allow_private_hosts: Hosts that may have private and loopback addresses too.
            resolver: Finds the addresses of a name.

        Raises:
            ConfigurationError: if a host cannot be read.
        """
        self._place = place
        self._rules = host_rules(f"{place}.allow_hosts", allow_hosts)
        self._private = host_rules(f"{place}.allow_private_hosts", allow_private_hosts)
        if any(rule.host == "*" for rule in self._private):
            raise ConfigurationError(f"{place}.allow_private_hosts: '*' would open every private address: name them")
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
            found = [written(ip_address(target.host))]
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

    def _permitted(self, target: Target) -> frozenset[str]:
        if any(rule.matches(target) for rule in self._private):
            return INSIDE
        if any(rule.matches(target) for rule in self._rules):
            return ORDINARY
        raise Refused(f"{target.host}:{target.port} is not in [{self._place}] allow_hosts")

    def _check(self, target: Target, address: Address, permitted: frozenset[str]) -> None:
        kind = kind_of(address)
        itself = permitted is INSIDE and any(rule.host == written(address) for rule in self._private)
        if kind in permitted or itself:
            return
        raise Refused(f"{target.host} has the address {written(address)}, which is {kind}, and that is not allowed")


def host_rules(place: str, texts: Iterable[str]) -> tuple[HostRule, ...]:
    """Return the rules of a list of hosts.

    Raises:
        ConfigurationError: naming the place in the settings, if a host cannot be read.
    """
    return tuple(_rule(place, text) for text in texts)


def _rule(place: str, text: str) -> HostRule:
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
        raise ConfigurationError(f"{place}: {shown(text)!r} is not a host such as api.example.com or *.example.com")
    return HostRule(f"*.{name}" if below else name, port)


def _ascii(host: str) -> str:
    if host.isascii():
        return host
    from httpx2 import URL, InvalidURL  # noqa: PLC0415 (as URLs are read, or another host would be meant)

    try:
        return URL(f"http://{host}/").raw_host.decode("ascii")
    except InvalidURL as error:
        raise Refused(str(error)) from None
