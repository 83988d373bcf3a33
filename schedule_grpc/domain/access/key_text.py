"""The text of a key: ``sgk_`` ID ``_`` SECRET CHECK, all of it letters and digits.

A double click selects it, and a scanner of source code finds it without asking a server: the prefix is rare, and the
check (CRC-32 of all before it) tells a key from a text that only looks like one. The id is no secret: logs and lists
show it. Of the whole text a server keeps the SHA-256 alone; a slow hash adds nothing to 256 random bits.
"""

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

PREFIX = "sgk_"
ID_LENGTH = 8
"""Characters of an id."""
SECRET_LENGTH = 43
"""Characters of base 62 that hold `SECRET_BITS`."""
SECRET_BITS = 256
CHECK_LENGTH = 6
"""Characters of base 62 that hold a CRC-32."""

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
PATTERN = r"sgk_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}"
"""A regular expression for scanners of source code."""

_WHOLE = re.compile(r"sgk_(?P<id>[0-9A-Za-z]{8})_[0-9A-Za-z]{49}", re.ASCII)
_ANYWHERE = re.compile(r"sgk_([0-9A-Za-z]{8})_[0-9A-Za-z]+", re.ASCII)
"""Also a key that was cut, or that has more characters behind it: what is left of its secret is covered, too."""


@dataclass(frozen=True, slots=True)
class KeyText:
    """A well-formed text of a key. It appears in no ``repr``, and so in no log line."""

    text: str = field(repr=False)
    id: str

    @classmethod
    def read(cls, text: str) -> "KeyText | None":
        """Return the key in a text; None if the text has another form, or its check does not fit."""
        found = _WHOLE.fullmatch(text)
        if found is None or _check(text[:-CHECK_LENGTH]) != text[-CHECK_LENGTH:]:
            return None
        return cls(text=text, id=found["id"])

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the whole text: what a server keeps of it."""
        return hashlib.sha256(self.text.encode()).digest()

    def __str__(self) -> str:
        """Return the text without its secret."""
        return _covered(self.id)


def new_key(key_id: str | None = None) -> KeyText:
    """Return a key that nobody has seen, with a new id or, to replace another text of a key, with the id of that."""
    chosen = key_id or "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH))
    begin = f"{PREFIX}{chosen}_{_base62(secrets.randbits(SECRET_BITS), SECRET_LENGTH)}"
    return KeyText(text=begin + _check(begin), id=chosen)


def redacted(text: str) -> str:
    """Return a text with ``sgk_<id>_***`` for each key in it, whole or cut."""
    return _ANYWHERE.sub(lambda found: _covered(found[1]), text) if PREFIX in text else text


def _covered(key_id: str) -> str:
    return f"{PREFIX}{key_id}_***"


def _check(begin: str) -> str:
    return _base62(zlib.crc32(begin.encode()), CHECK_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
