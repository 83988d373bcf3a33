"""The hosts that a request may go to: a URL is read in one way only, and every address of the host is checked.

An address in an unusual spelling is refused, although its meaning would be checked too: 127.0.0.1 is not spelt 0x7f.1
by mistake.
"""

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, TypeAlias

from schedule_grpc.runtime.threads import in_thread
from schedule_grpc.text.secrets import are_hosts

if TYPE_CHECKING:
    from httpx2 import URL

Address: TypeAlias = IPv4Address | IPv6Address

PORTS = {"http": 80, "https": 443}
ORDINARY = frozenset({"public"})
INSIDE = frozenset({"public", "private", "loopback"})
"""Kinds of addresses for hosts that may be private; other kinds only if the address itself is allowed."""

_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.IGNORECASE)
_END = re.compile("[/?#]")
"""Ends the host and port in a URL."""
_LOWEST_PRINTED = "!"


def _networks(*texts: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(text) for text in texts)


_METADATA = frozenset(
    # AWS, GCP, Azure and most others; ECS; EKS; AWS by IPv6; Azure's wire server; Alibaba
    ip_address(text)
    for text in (
        "169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "168.63.129.16", "100.100.100.200",
    )
)  # fmt: skip
_PRIVATE = _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
# Networks that Python, in this version or an older one, wrongly takes for global; tunnels, whose other end is unknown.
_NOT_PUBLIC = _networks(
    "192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
    "64:ff9b:1::/48", "100::/64",
)  # fmt: skip


class Refused(ValueError):
    """A request that must not be sent; the text is the reason."""


class Unresolved(Exception):
    """The host's name has no address now."""


@dataclass(frozen=True, slots=True)
class Target:
    """The destination of a request, read from its URL."""

    url: "URL"
    """Without its fragment."""
    host: str
    """In lower case, international names in their ASCII form, IPv6 without brackets."""
    port: int

    @property
    def origin(self) -> tuple[str, str, int]:
        """The origin: credentials are sent to no other one."""
        return self.url.scheme, self.host, self.port

    @property
    def shown(self) -> str:
        """The URL without its query, in which there may be secrets."""
        return str(self.url.copy_with(query=None))


def read_url(text: str) -> Target:
    """Return the target of a URL.

    Raises:
        Refused: if a request must not have this URL.
    """
    from httpx2 import URL, InvalidURL  # noqa: PLC0415 (50 ms, and most servers send none)

    if not text.isprintable() or any(character < _LOWEST_PRINTED for character in text) or "\\" in text:
        raise Refused("has a blank, a control character or a backslash")
    authority = _END.split(text.partition("://")[2], maxsplit=1)[0]
    if "@" in authority:
        raise Refused("has a user name or a password: use a header by reference")
    if not are_hosts(authority):
        raise Refused("has something else than HOST or HOST:PORT for its host, where PORT is a number up to 65535")
    try:
        url = URL(text).copy_with(fragment=None)
    except InvalidURL as error:
        raise Refused(f"cannot be read: {error}") from None
    if url.scheme not in PORTS:
        raise Refused("is neither http:// nor https://")
    host = read_host(url.raw_host.decode("ascii"))
    if not authority.isascii() and _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise Refused(f"has the host {host!r}, which is an address that is spelt oddly")
    port = PORTS[url.scheme] if url.port is None else url.port
    if not 0 < port < 1 << 16:
        raise Refused(f"has the port {port}")
    return Target(url, host, port)


def read_host(host: str) -> str:
    """Return a host's name in lower case, or its address in its usual form.

    Raises:
        Refused: if the host is empty, or an address in an unusual spelling.
    """
    host = host.lower()
    if not host:
        raise Refused("names no host")
    if "%" in host or host.endswith("."):
        raise Refused(f"has the host {host!r}: write it without '%' and without a dot at its end")
    if ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return written(ip_address(host))
        except ValueError:
            raise Refused(f"has the host {host!r}, which is an address that is spelt oddly") from None
    return host


def written(address: Address) -> str:
    """Return an address in its usual form (RFC 5952): Python before 3.13 writes ``::ffff:10.0.0.1`` without dots."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(address) if mapped is None else f"::ffff:{mapped}"


def kind_of(address: Address) -> str:
    """Return the kind of an address: ``public`` on the internet, else ``private``, ``loopback``, ``metadata`` …."""
    embedded = _embedded(address) if isinstance(address, IPv6Address) else None
    if embedded is not None:
        return kind_of(embedded)
    kinds = {
        "metadata": address in _METADATA,
        "unspecified": address.is_unspecified,
        "multicast": address.is_multicast,
        "loopback": address.is_loopback,
        "link-local": address.is_link_local,
        "private": _within(address, _PRIVATE),
        "reserved": address.is_reserved or not address.is_global or _within(address, _NOT_PUBLIC),
    }
    return next((kind for kind, is_it in kinds.items() if is_it), "public")


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that this IPv6 address stands for, if any."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):  # :: and ::1 are themselves
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _within(address: Address, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks)


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a name, by this machine's resolver.

    Raises:
        OSError: if the name has no address.
    """
    found = await in_thread(
        lambda _: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), name="resolve", abandon=True
    )
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
