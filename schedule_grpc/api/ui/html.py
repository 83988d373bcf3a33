"""Answers with HTML: one rendering can answer many requests, each in the encoding that it takes."""

import zlib
from collections.abc import Sequence
from hashlib import blake2b

from starlette.requests import Request
from starlette.responses import Response

NO_SITES = "'none'"


def policy_for(sites: Sequence[str] = ()) -> str:
    """Return the policy of pages that these sites may show in a frame.

    No inline script, no inline style, nothing from elsewhere: what a task's texts smuggle in is not run.
    """
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        f"worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {' '.join(sites) or NO_SITES}"
    )


POLICY = policy_for()
"""The policy of what no site may show in a frame."""
SMALL = 1024
"""Bytes up to which an answer is not compressed."""
HTML = "text/html; charset=utf-8"


class Html(Response):
    """A rendered page, or the main part of one."""

    def __init__(self, content: bytes, status: int = 200, *, policy: str = POLICY) -> None:
        """Take what was rendered, and the policy that the browser obeys with it."""
        etag = f'"{blake2b(content, digest_size=9).hexdigest()}"'
        self._named = {"content-security-policy": policy, "etag": etag, "vary": "accept-encoding, x-part"}
        self._packed = b""
        super().__init__(content, status_code=status, headers=self._named, media_type=HTML)

    def to(self, request: Request) -> Response:
        """Return the answer to a request: compressed if the caller takes that, and 304 if it has the same already."""
        if self.status_code == 200 and request.headers.get("if-none-match") == self._named["etag"]:  # noqa: PLR2004 (OK)
            return Response(status_code=304, headers=self._named)
        content, headers = bytes(self.body), self._named
        if len(content) > SMALL and "gzip" in request.headers.get("accept-encoding", ""):
            content, headers = self._gzip(content), headers | {"content-encoding": "gzip"}
        return Response(content, status_code=self.status_code, headers=headers, media_type=HTML)

    def _gzip(self, content: bytes) -> bytes:
        if not self._packed:
            packing = zlib.compressobj(level=1, wbits=31)  # level 1: half the time of the usual 6, and a tenth larger
            self._packed = packing.compress(content) + packing.flush()
        return self._packed
