"""The cookie that names a browser's session: its name, its path, and how it is found among others."""

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice

MOST_NAMED = 4
"""Sessions that one request may name: a browser names one, or two if it came by TLS and without."""
SECURE_NAME = "__Host-schedule"
"""The cookie's name over TLS: browsers take it only from this host itself, Secure, for every path (RFC 6265bis)."""
PLAIN_NAME = "schedule-session"
"""The cookie's name without TLS, where browsers refuse that prefix."""
_TEXT = re.compile(r"[A-Za-z0-9_-]{43}")
"""32 bytes in base64url: no other text is looked up."""


class SessionCookie:
    """The cookie of a server, which others on its host do not take for theirs."""

    def __init__(self, path_prefix: str = "") -> None:
        """Take the path below which the server is published, such as ``/ops/schedule``; empty: it has its host alone.

        Two servers on one host, each below its prefix, would end each other's sessions by cookies of one name. A path
        alone does not tell them apart: the cookie over TLS must be for every path.
        """
        self._path = path_prefix or "/"
        self._secure_name = SECURE_NAME + path_prefix.replace("/", ".")
        self._plain_name = PLAIN_NAME + path_prefix.replace("/", ".")

    def written(self, text: str, *, secure: bool, seconds: int) -> str:
        """Return the value of the header ``set-cookie`` for a session's text; the empty one removes the cookie."""
        path, ending = ("/", "; Secure") if secure else (self._path, "")
        return f"{self._name(secure=secure)}={text}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{ending}"

    def digest(self, text: str, *, secure: bool) -> bytes:
        """Return the digest of a session's text in the cookie that `written` makes."""
        return _digest(self._name(secure=secure), text)

    def digests(self, cookies: Iterable[str]) -> Iterator[bytes]:
        """Yield the digests of sessions' cookies, first those that only this host can set.

        Beside them are cookies of other programs, in any form.
        """
        named = sorted(self._named(cookies), key=lambda each: each[0] != self._secure_name)
        return islice((_digest(name, text) for name, text in named if _TEXT.fullmatch(text)), MOST_NAMED)

    def _named(self, cookies: Iterable[str]) -> Iterator[tuple[str, str]]:
        for each in ";".join(cookies).split(";"):
            name, _, text = each.partition("=")
            if name.strip() in (self._secure_name, self._plain_name):
                yield name.strip(), text.strip()

    def _name(self, *, secure: bool) -> str:
        return self._secure_name if secure else self._plain_name


def _digest(name: str, text: str) -> bytes:
    """Return the digest of a cookie, its name included.

    A session that began over TLS is none under the plain name: that cookie any host of the domain can set.
    """
    return sha256(f"{name}={text}".encode("utf-8", "surrogateescape")).digest()
