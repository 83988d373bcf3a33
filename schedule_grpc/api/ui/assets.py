"""The static files of the pages: read once, and served below a path that changes with their content.

So a browser may keep each of them for a year, and gets the new ones with the first page of a new version.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from gzip import compress
from hashlib import blake2b
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""Media types by suffix; a file of another kind is not served."""
COMMENT = re.compile(rb"^[ \t]*(?://[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)[ \t]*$", re.MULTILINE)
"""A comment that has its lines to itself, in a script or a style sheet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """A static file."""

    content: bytes
    packed: bytes
    """The content, compressed by gzip."""
    kind: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Assets:
    """All static files, by name, and their common version."""

    files: Mapping[str, Asset]
    version: str

    @classmethod
    def read(cls, folder: Path = FOLDER) -> "Assets":
        """Read the files of a folder."""
        files: dict[str, Asset] = {}
        digest = blake2b(digest_size=6)
        for path in sorted(folder.iterdir()):
            if path.suffix in KINDS:
                content = without_comments(path.read_bytes())
                digest.update(path.name.encode() + b"\0" + content)
                files[path.name] = Asset(content=content, packed=compress(content, mtime=0), kind=KINDS[path.suffix])
        return cls(files=files, version=digest.hexdigest())


def without_comments(text: bytes) -> bytes:
    """Return a file without the comments that have lines to themselves: a tenth of what browsers would load.

    The lines stay, so that an error in a browser names the line that it has here.
    """
    return COMMENT.sub(lambda found: b"\n" * found[0].count(b"\n"), text)
