"""Readers of settings' values as people write them: durations, lists, tables, addresses; they refuse other texts."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator

from schedule_grpc.domain import durations
from schedule_grpc.settings.sources import as_table, json_or_text
from schedule_grpc.text.secrets import are_hosts, shown, shown_address

OFF = "off"
"""The value instead of an address that turns an interface off."""
_IPV6 = re.compile(r"\[[0-9A-Fa-f]*:[0-9A-Fa-f:.%]*\]")
"""Begins like a JSON list."""
_HOST_OF_ORIGIN = re.compile(r"(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
"""As browsers write it: a name in another script is in ASCII, and nothing stands for several names."""
_FAULTS_OF_PREFIX = {
    "does not begin with a slash": re.compile(r"[^/].*", re.DOTALL),
    "ends with a slash": re.compile(r".*/", re.DOTALL),
    "has an empty segment": re.compile(r".*//.*", re.DOTALL),
    "has a segment of dots, which browsers take away": re.compile(r".*/\.{1,2}(?:/.*)?", re.DOTALL),
    "has a character other than letters, digits and - . _ ~ (others need encoding)": re.compile(
        r".*[^0-9A-Za-z._~/-].*", re.DOTALL
    ),
}
"""What keeps a text from being a prefix of paths that is written in one way only; the first that fits is told."""


def duration(value: object) -> object:
    """Read ``"30"``, ``"30s"``, ``"500ms"``, ``"2m"``, ``"1h"``; other numbers are seconds."""
    return durations.read(value) if isinstance(value, str) else _flagless(value)


def _listed(separator: "re.Pattern[str]") -> Callable[[object], object]:
    """Return a reader of lists: JSON lists, texts split by ``separator``, or lists of such texts."""

    def read(value: object) -> object:
        if isinstance(value, list):
            return [part for item in value for part in _parts(item)]
        return _parts(value) if isinstance(value, str) else value

    def _parts(item: object) -> list[Any]:
        decoded = item if isinstance(item, str) and _IPV6.match(item.lstrip()) else json_or_text(item, "[")
        if isinstance(decoded, str):
            return [part for each in separator.split(decoded) if (part := each.strip(" ,\t\r\n"))]
        return decoded if isinstance(decoded, list) else [decoded]

    return read


def _flagless(value: object) -> object:
    """Refuse true and false, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("is a number, not true or false")  # noqa: TRY004 (pydantic reports ValueErrors)
    return value


def _url_or_table(value: object) -> object:
    if not isinstance(value, str | Mapping):
        raise ValueError("is neither a URL nor a table")  # noqa: TRY004 (pydantic reports ValueErrors)
    return json_or_text(value, "{")


def table(key: str) -> BeforeValidator:
    """Return the validator of a table, which refuses other values."""
    return BeforeValidator(partial(_table_of, key))


def _table_of(key: str, value: object) -> object:
    table = as_table(key, value)
    if not isinstance(table, Mapping | BaseModel):
        raise ValueError("is not a table: a variable holds it as a JSON object, or one variable each key")  # noqa: TRY004
    return table


def _tables(value: object) -> object:
    if isinstance(value, str):
        value = json_or_text(json_or_text(value, "["), "{")
    if isinstance(value, Mapping):
        return [value]
    if isinstance(value, str):
        raise ValueError("is not a list of tables: a variable holds it as JSON")  # noqa: TRY004 (as above)
    return value


def _checked_name(name: str) -> str:
    if not name.isidentifier():
        raise ValueError(f"{name!r} is not a name such as DB")
    return name


def checked_address(address: str) -> str:
    """Return the address if it is HOST:PORT."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port or not are_hosts(address):
        raise ValueError(f"{shown_address(address)} is not HOST:PORT")
    return address


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: ``localhost``, or an address of the loopback interface."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_origin(origin: str) -> str:
    """Return a browser's origin (scheme and host) in lower case."""
    scheme, _, host = origin.partition("://")
    if scheme not in ("http", "https") or not _HOST_OF_ORIGIN.fullmatch(host) or not are_hosts(host):
        raise ValueError(f"{shown(origin)!r} is not an origin such as https://ops.example")
    return origin.lower()


def checked_prefix(prefix: str) -> str:
    """Return the prefix of paths, such as ``/ops/schedule``; the empty one is none."""
    for fault, faulty in _FAULTS_OF_PREFIX.items():
        if faulty.fullmatch(prefix):
            raise ValueError(f"{shown(prefix)!r} {fault}; a prefix is written as /schedule or /ops/schedule")
    return prefix


def is_url_of_host(url: str) -> bool:
    """Return whether a text is ``http://HOST[:PORT][/PATH]`` or ``https://...``, without credentials and question."""
    scheme, separator, rest = url.partition("://")
    host = rest.partition("/")[0]
    return bool(separator and host) and scheme in ("http", "https") and are_hosts(host) and not set("@?#, ") & set(rest)


listed = _listed(re.compile(","))
"""Reads a list: a JSON list, or its items with commas between."""
NAMES = BeforeValidator(listed)
URLS = BeforeValidator(_listed(re.compile(r",\s*(?=[A-Za-z][A-Za-z0-9+.-]*:)")))
"""A comma within a URL belongs to it, unless another URL follows."""
TABLES = BeforeValidator(_tables)
"""Reads a list of tables: a JSON list, one table, or a list of them."""
NUMBER = BeforeValidator(_flagless)
BindingName: TypeAlias = Annotated[str, AfterValidator(_checked_name)]
Binding: TypeAlias = Annotated[str | dict[str, Any], BeforeValidator(_url_or_table)]
