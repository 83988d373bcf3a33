"""The documentation's page: everything it needs comes from us."""

import re
from urllib.parse import urljoin

import httpx2
import pytest

FOREIGN = re.compile(r"""(?:src|href|url|@import|action)\s*[=(:]\s*["']?(?:https?:)?//""", re.IGNORECASE)


def test_the_page_names_files_of_ours_only(web: httpx2.Client):
    """Every one of them is there, with its type; no script stands in the page."""
    page = web.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert named == ["data:,", "./docs/swagger-ui.css", "./docs/swagger-ui-bundle.js", "./docs/start.js"]
    for path in named[1:]:
        answer = web.get(urljoin("/docs", path))
        assert (answer.status_code, len(answer.content) > 100) == (200, True)
        assert answer.headers["content-type"].partition(";")[0] in ("text/css", "text/javascript")
    assert not re.search(r"<script(?! src=)", page.text)


def test_the_pages_files_are_found_with_a_trailing_slash_too(web: httpx2.Client):
    """Their addresses are relative, and a browser counts that slash."""
    assert 'src="../docs/start.js"' in web.get("/docs/").text


@pytest.mark.parametrize("path", ["/docs", "/docs/start.js", "/docs/swagger-ui.css"])
def test_nothing_is_loaded_from_elsewhere(web: httpx2.Client, path: str):
    """Neither by the page nor by its styles; and the browser is told to load nothing else."""
    assert not FOREIGN.search(web.get(path).text)
    policy = web.get("/docs").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "http" not in policy
