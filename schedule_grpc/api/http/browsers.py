"""What tells a browser from a program: a page of any site can make a browser send requests, and no program."""

from starlette.datastructures import Headers

USER_AGENT = "Mozilla/"
"""The beginning of every browser's User-Agent, and of no program's."""
OF_PAGES = frozenset({"origin", "referer", "cookie"})
"""Headers with which a browser says which page asks. It sends Origin with each POST: `null` where it keeps the page to
itself."""
OF_BROWSERS = "sec-"
"""The beginning of names of headers that no page can set, such as Sec-Fetch-Site."""


def is_browser(headers: Headers) -> bool:
    """Tell whether a browser may have sent a request with these headers."""
    if headers.get("user-agent", "").startswith(USER_AGENT):
        return True
    return any(name in OF_PAGES or name.startswith(OF_BROWSERS) for name in headers)
