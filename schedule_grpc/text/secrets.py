"""Secrets that no error, log line or result may show, in any spelling, and URLs that hold them.

A server that echoes a request rarely echoes it literally: a page escapes it for HTML, a redirect for a URL, a log for
JSON, a debugger shows the header in base64. So a text is searched as it stands and as each of these spellings decodes,
and each secret found is covered at its place in the text.
"""

import base64
import html
import itertools
import re
import string
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

COVER = "***"
SHORTEST_SECRET = 4
"""Covering a shorter one would only show where it stands."""
LONGEST_SPELLING = 16
"""Characters that one character of a secret may become: ``&amp;#x0000002b;``."""
WITHHELD = "failed (what it said may hold a secret, and is not shown)"

_DEPTH = 3
"""Nested spellings that are decoded: JSON within HTML within a URL."""
_MOST_TOKENS = 100_000
"""Characters that are decoded of one text, in all its readings: a second's work in the worst case."""
_FOLDED = {ord(letter): letter.lower() for letter in string.ascii_uppercase} | {
    ord("+"): " ",
    ord("-"): " ",
    ord("_"): "/",
}
"""Characters taken as equal: letters in either case, a blank and ``+`` (of forms), both alphabets of base64."""
_SECRET_NAME = re.compile(r"pass|secret|token|key|credential|auth", re.IGNORECASE)
_NOT_ITSELF = re.compile(r"_(env|file|dir)$|passfile|sslkey$", re.IGNORECASE)
"""Names of settings that hold the place of a secret."""
_AUTHORITY_END = re.compile(r"[/?#]")
_HOST = re.compile(r"(?:\[[\w:.%]*\]|[^\s:@\[\]]*)(?::(?P<port>[0-9]{0,5}))?")
"""It finds the end of a host rather than checking it: names with ``_`` and sockets' folders (``%2Ftmp``) occur."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_ANY_PORT = re.compile(r"[\w.-]*:-?\d{1,20}")
_LAST_PORT = 65_535
_UNCLEAR = (
    "its URL cannot be read: PORT is a number up to 65535; percent-encode what is special in its user and password "
    "(/ is %2F, ? is %3F, # is %23, @ is %40, : is %3A)"
)


class _Token(NamedTuple):
    """The place of a decoded piece in the decoded text, and its place in the text before decoding."""

    begin: int
    end: int
    source_begin: int
    source_end: int


class _Reading:
    """A text after one or more decodings; without a source, the text itself."""

    def __init__(self, text: str, source: "_Reading | None" = None, tokens: Sequence[_Token] = ()) -> None:
        self.text = text
        self._source = source
        self._tokens = tokens
        self._ends = [token.end for token in tokens]

    def place(self, begin: int, end: int) -> tuple[int, int]:
        """Return the place, in the original text, of a stretch of this reading."""
        if self._source is None:
            return begin, end
        return self._source.place(self._source_of(begin), self._source_after(end - 1))

    def _source_of(self, at: int) -> int:
        before = bisect_right(self._ends, at)
        token = self._tokens[before - 1] if before else _Token(0, 0, 0, 0)
        within = before < len(self._tokens) and self._tokens[before].begin <= at
        return self._tokens[before].source_begin if within else token.source_end + at - token.end

    def _source_after(self, at: int) -> int:
        before = bisect_right(self._ends, at)
        within = before < len(self._tokens) and self._tokens[before].begin <= at
        return self._tokens[before].source_end if within else self._source_of(at) + 1


class _Spelling(NamedTuple):
    """One way to escape characters, and its decoder."""

    token: re.Pattern[str]
    read: Callable[[re.Match[str]], str]


def _by_number(found: re.Match[str]) -> str:
    digits = next(filter(None, found.groups()))
    return chr(int(digits, 16))


def _escaped(found: re.Match[str]) -> str:
    if found["plain"]:
        return {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}.get(found["plain"], found["plain"])
    return chr(int(found["octal"], 8)) if found["octal"] else chr(int(found["hex"] or found["wide"], 16))


_SPELLINGS = (
    _Spelling(re.compile(r"%u([0-9a-f]{4})|%([0-9a-f]{2})", re.IGNORECASE), _by_number),
    _Spelling(
        re.compile(r"&(?:#\d{1,8}|#x[0-9a-f]{1,8}|[a-z][a-z0-9]{1,31});?", re.IGNORECASE),
        lambda found: html.unescape(found[0]),
    ),
    _Spelling(
        re.compile(
            r"\\(?:u(?P<wide>[0-9a-f]{4})|x(?P<hex>[0-9a-f]{2})|(?P<octal>[0-3][0-7]{2})|(?P<plain>.))",
            re.IGNORECASE | re.DOTALL,
        ),
        _escaped,
    ),
    _Spelling(re.compile(r"=([0-9a-f]{2})", re.IGNORECASE), _by_number),  # quoted-printable
    _Spelling(re.compile(r"=?[\x00\r\n]+"), lambda _: ""),  # lines that were folded, UTF-16 that was read as UTF-8
)


class Secrets:
    """A set of secrets, and the covering of them in texts."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self.add(*secrets)

    def __bool__(self) -> bool:
        return bool(self._secrets)

    def add(self, *secrets: str) -> None:
        """Add secrets."""
        self._secrets.update(secret for secret in secrets if secret)
        self.__dict__.pop("_written", None)

    def add_url(self, url: str) -> None:
        """Add the secrets of a URL: its password, and parameters named like secrets.

        Raises:
            ValueError: if the URL cannot be read.
        """
        self.add(*_secrets_of(url))

    def add_options(self, options: Mapping[str, Any]) -> None:
        """Add the secrets of options, and of tables and lists within them: by their names, and within URLs."""
        for name, value in options.items():
            if isinstance(value, Mapping):
                self.add_options(value)
            elif isinstance(value, list):
                for each in value:
                    self.add_options({name: each})
            elif isinstance(value, str) and names_a_secret(name):
                self.add(value)
            elif isinstance(value, str) and "://" in value:
                with suppress(ValueError):
                    self.add_url(value)

    @property
    def longest_spelling(self) -> int:
        """Characters of a text that one secret may take."""
        return LONGEST_SPELLING * max(map(len, self._secrets), default=0)

    def hide(self, text: str) -> str:
        """Return a text with stars for each secret; `WITHHELD` if it has a secret that is too short to cover."""
        if any(secret in text for secret in self._secrets if len(secret) < SHORTEST_SECRET):
            return WITHHELD
        return self.cover(text, len(text))

    def cover(self, text: str, length: int) -> str:
        """Return the first characters of a text, with stars for each secret that begins there.

        Args:
            text: The characters and the text after them, in which a secret may end.
            length: How many characters to return.
        """
        pieces, end = [], 0
        for begin, after in self._found(text):
            if begin >= length:
                break
            pieces += [text[end:begin], COVER]
            end = after
        return "".join(pieces) + text[end:length]

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield the places of secrets in a text, in order; overlapping ones as one."""
        if self._written:
            yield from _joined(
                reading.place(begin, end)
                for reading in _readings(text)
                for begin, end in self._found_as_read(reading.text)
            )

    def _found_as_read(self, text: str) -> Iterator[tuple[int, int]]:
        folded = text.translate(_FOLDED)
        for written in self._written:
            begin = folded.find(written)
            while begin >= 0:
                end = begin + len(written)
                yield begin, end
                begin = folded.find(written, end)

    @cached_property
    def _written(self) -> frozenset[str]:
        """The texts to search for: each secret, in each form that no decoding undoes."""
        known = {each for secret in self._secrets for each in (secret, *_credentials_in(secret))}
        return frozenset(
            each.translate(_FOLDED) for secret in known if len(secret) >= SHORTEST_SECRET for each in _forms(secret)
        )


def shown(url: str) -> str:
    """Return a URL, or a text in place of one, for errors: without user, password and parameters.

    If it is in doubt where the password begins, only the scheme is left.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        prefix, colon, _ = url.partition(":")
        if not colon and "@" not in url:
            return url
        return f"{prefix}:…" if colon and _SCHEME.fullmatch(prefix) else "…"
    if not _SCHEME.fullmatch(scheme):
        return "…"
    user, hosts, further = _parts(rest)
    if "@" in further or not are_hosts(hosts):
        return f"{scheme}://…"
    path, question, _ = further.partition("?")
    path, hash_sign, _ = path.partition("#")
    hidden = "***@" if user else ""
    return f"{scheme}://{hidden}{hosts}{path}{'?…' if question or hash_sign else ''}"


def shown_address(address: str) -> str:
    """Return a host and port, or a text in place of one, for errors."""
    return repr(address if are_hosts(address) or _ANY_PORT.fullmatch(address) else shown(address))


def check_hosts(url: str) -> None:
    """Check the hosts and ports of a URL; if they are none, they may be a part of a password.

    Raises:
        ValueError: if they are invalid; the message does not quote them.
    """
    if not url.isprintable():
        raise ValueError("its URL has a control character or a line break")
    _, hosts, _ = _parts(url.partition("://")[2])
    if not are_hosts(hosts):
        raise ValueError(_UNCLEAR)
    try:
        urlsplit(url)
    except ValueError:  # its text may quote the password
        raise ValueError(_UNCLEAR) from None


def _parts(rest: str) -> tuple[str, str, str]:
    """Return three parts of the text after ``://``: user, password and ``@``; the hosts; the rest."""
    end = found.start() if (found := _AUTHORITY_END.search(rest)) else len(rest)
    user, at, hosts = rest[:end].rpartition("@")
    return user + at, hosts, rest[end:]


def are_hosts(hosts: str) -> bool:
    """Return whether a text is a host with or without a port, or several of them separated by commas."""
    found = [_HOST.fullmatch(host) for host in hosts.split(",")]
    return all(each is not None and int(each["port"] or 0) <= _LAST_PORT for each in found)


def _readings(text: str) -> Iterator[_Reading]:
    """Yield a text, its decoding by each spelling, and the decodings of these, `_DEPTH` levels deep."""
    seen = {text}
    newest = [_Reading(text)]
    left = _MOST_TOKENS
    yield newest[0]
    for _ in range(_DEPTH):
        before, newest = newest, []
        for reading, spelling in itertools.product(before, _SPELLINGS):
            if left <= 0:
                return
            decoded, count = _read(reading, spelling)
            left -= count
            if decoded.text not in seen:
                seen.add(decoded.text)
                newest.append(decoded)
                yield decoded


def _read(reading: _Reading, spelling: _Spelling) -> tuple[_Reading, int]:
    tokens: list[_Token] = []
    shift = 0

    def decode(found: re.Match[str]) -> str:
        nonlocal shift
        decoded = spelling.read(found)
        begin = found.start() + shift
        tokens.append(_Token(begin, begin + len(decoded), found.start(), found.end()))
        shift += len(decoded) - (found.end() - found.start())
        return decoded

    return _Reading(spelling.token.sub(decode, reading.text), reading, tokens), len(tokens)


def _joined(places: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield stretches of a text in order, overlapping ones as one."""
    begin, end = 0, -1
    for each in sorted(places):
        if each[0] >= end:
            if end >= 0:
                yield begin, end
            begin = each[0]
        end = max(end, each[1])
    if end >= 0:
        yield begin, end


def _forms(secret: str) -> Iterator[str]:
    data = secret.encode("utf-8", "replace")
    yield secret
    yield data.decode("latin-1")  # as its bytes are read one by one
    yield data.hex()
    for shift in range(3):  # the number of bytes before it in the encoded text, modulo 3
        encoded = base64.b64encode(bytes(shift) + data).decode("ascii")
        yield encoded[-(-8 * shift // 6) : 8 * (shift + len(data)) // 6]  # without characters that others share


def _credentials_in(secret: str) -> Iterator[str]:
    """Yield ``user:password`` and the password of a secret that holds these in base64, as HTTP's Basic does."""
    with suppress(ValueError):
        decoded = base64.b64decode(secret, validate=True).decode("utf-8")
        _, colon, password = decoded.partition(":")
        if colon and decoded.isprintable():
            yield from (decoded, password)


def _secrets_of(url: str) -> Iterator[str]:
    for part in re.split(r";(?=[\w+.-]+://)", url):  # a queue may name several servers
        check_hosts(part)
        split = urlsplit(part)
        if split.netloc and ("@" in split.path + split.query + split.fragment):
            raise ValueError(_UNCLEAR)
        _, _, password = split.netloc.rpartition("@")[0].partition(":")
        yield from (password, unquote(password))
        for name, value in parse_qsl(split.query):
            if names_a_secret(name):
                yield value


def names_a_secret(name: str) -> bool:
    """Return whether a setting of this name holds a secret, and not only the place of one."""
    return bool(_SECRET_NAME.search(name)) and not _NOT_ITSELF.search(name)
