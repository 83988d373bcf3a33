"""A server's address as people write it, read as a gRPC target.

gRPC itself takes port 443 if the address has none, reads ``http`` as a host, and port 65537 as port 1.
"""

import ipaddress
import re
from collections.abc import Callable

from schedule_grpc.text.secrets import shown_address

PORT = 50051
"""The port of an address without one."""
FORMS = "HOST:PORT, [IPV6]:PORT or unix:PATH"

_URL = re.compile(r"(http|https|grpc|grpcs|tcp)://(.*)", re.IGNORECASE | re.DOTALL)
_ENCRYPTED = ("https", "grpcs")
_LOCAL = re.compile(r"(unix|unix-abstract|vsock|xds):.")
_DNS = re.compile(r"(dns:(?://[^/]*/)?)(.*)", re.DOTALL)
_ADDRESSES = re.compile(r"(ipv[46]:)(.*)", re.DOTALL)
_BRACKETED = re.compile(r"\[([^\[\]]*)\](.*)", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9._-]*[A-Za-z._-][A-Za-z0-9._-]*")
_LAST_PORT = 65535


def target(address: str, *, encrypted: bool) -> str:
    """Return the gRPC target of an address; without a port it gets `PORT`.

    Args:
        address: ``host``, ``host:port``, ``[::1]:port``, a URL of these such as ``http://host:port``, or a target in
            gRPC's own spelling: ``unix:/run/schedule.sock``, ``dns:///host:port``, ``ipv4:1.2.3.4:5``.
        encrypted: Whether the client uses TLS; URLs such as ``https://`` require it.

    Raises:
        ValueError: if the text is not an address; the message says how to write one.
    """
    address = address.strip()
    if url := _URL.fullmatch(address):
        return _target_of_url(url[1].lower(), url[2], encrypted=encrypted)
    if _LOCAL.match(address):
        return address
    if named := _DNS.fullmatch(address):
        return named[1] + _place(named[2])
    if listed := _ADDRESSES.fullmatch(address):
        return listed[1] + ",".join(_place(each, host=_ipv4) for each in listed[2].split(","))
    if "://" in address:
        raise ValueError(f"{address.partition('://')[0]!r} is not a scheme of gRPC addresses: write {FORMS}")
    return _place(address.removesuffix("/"))


def _target_of_url(scheme: str, rest: str, *, encrypted: bool) -> str:
    place = rest.removesuffix("/")
    if re.search(r"[/?#@]", place):  # the text before an @ may be a password
        raise ValueError(f"{scheme}://... names more than a host and a port: write {FORMS}")
    if scheme in _ENCRYPTED and not encrypted:
        raise ValueError(f"{scheme}://... is encrypted: give tls=Tls(...), on the command line --tls-ca")
    return _place(place, port=443 if scheme == "https" else PORT)


def _place(text: str, *, port: int = PORT, host: Callable[[str, str], str] | None = None) -> str:
    """Return ``host:port`` of a text with or without a port; ``host`` checks a host that is not an IPv6 address."""
    if bracketed := _BRACKETED.fullmatch(text):
        read, rest = _ipv6(bracketed[1], text), bracketed[2]
    elif text.count(":") > 1:
        read, rest = _ipv6(text, text), ""
    else:
        name, colon, number = text.partition(":")
        read, rest = (host or _name)(name, text), colon + number
    return f"{read}:{_port(rest, text) if rest else port}"


def _name(name: str, text: str) -> str:
    if name.isdecimal() and ":" not in text:
        raise ValueError(f"{shown_address(text)} names no host: write {FORMS}")
    try:
        host = name.encode("idna").decode()
    except UnicodeError:
        host = ""
    if not _HOST.fullmatch(host):
        raise ValueError(f"{shown_address(text)} is not an address: write {FORMS}")
    return host


def _ipv4(host: str, text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise ValueError(f"{shown_address(text)} is not a numeric address: write {FORMS}") from None


def _ipv6(host: str, text: str) -> str:
    try:
        return f"[{ipaddress.IPv6Address(host)}]"
    except ValueError:
        raise ValueError(f"{shown_address(text)} is not an address: write {FORMS}") from None


def _port(rest: str, text: str) -> int:
    number = rest.removeprefix(":")
    if rest == number or not re.fullmatch(r"[0-9]{1,5}", number) or not 0 < int(number) <= _LAST_PORT:
        raise ValueError(f"{shown_address(text)} has no port from 1 to {_LAST_PORT} after its colon: write {FORMS}")
    return int(number)
