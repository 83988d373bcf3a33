"""Which page asks: a browser shows pages of any site, and says with a request which of them sent it."""

from collections.abc import Set as AbstractSet
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from schedule_grpc.api.http.browsers import USER_AGENT
from schedule_grpc.api.http.refused import Refused

OF_OURS = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site: a page of this server, or the user."""


def check_site(method: str, headers: Headers, origins: AbstractSet[str]) -> None:
    """Refuse a change that a page of another site requests, unless the site is one of these origins.

    Raises:
        Refused: naming the origin.
    """
    if "prefetch" in (headers.get("sec-purpose", "") + headers.get("purpose", "")):
        raise Refused.of(403, "Nothing is run ahead of time: this was a prefetch")
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None and origin in origins:
        return
    if origin is not None and not _same_host(origin, headers.get("host", "")):
        raise Refused.of(403, f"Origin {origin} may not change anything here ([http] allowed_origins)")
    if site is not None and site not in OF_OURS:  # with our own name too: a page by HTTP of a server that speaks TLS
        raise Refused.of(403, "A page of another site may not change anything here ([http] allowed_origins)")
    if origin is None and site is None and method == "GET" and headers.get("user-agent", "").startswith(USER_AGENT):
        # Over plain HTTP browsers send neither header with a GET, not even for an <img> in a page of another site.
        raise Refused.of(403, "A browser that does not say which page asks may not trigger by GET: use POST")


def name_of(host: str) -> str:
    """Return a Host header's name without its port, in lower case."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower().rstrip(".")


def _same_host(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()
