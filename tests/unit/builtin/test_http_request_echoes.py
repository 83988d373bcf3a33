"""A server that repeats the secret that http-request sends it, in whatever form: nothing of it is kept."""

import base64
import html
import re
from urllib.parse import quote

import pytest
from support.rigs.builtin_handler import attempt, context
from support.servers.http_server import http_server, response

from schedule_grpc.builtin.http_request.handler import http_request
from schedule_grpc.builtin.http_request.settings import HttpSettings

SECRET = "s3cret&more/of+it"
ANSWERS = {
    "reason": response(f"404 No {SECRET.upper()} here", body=b"gone"),
    "escaped": response("404 No", body=html.escape(f"no {SECRET}").encode(), location=quote(SECRET)),
    "encoded": response("404 No", body=base64.b64encode(f"Bearer {SECRET}".encode())),
    "cut": response("404 No", body=b"." * 30 + quote(SECRET, safe="").encode() * 9),
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("expected", [404, 200])
async def test_a_secret_that_is_repeated_in_another_form_is_covered(
    monkeypatch: pytest.MonkeyPatch, answer: str, expected: int
):
    """In the reason of a status, escaped for HTML and for URLs, in base64, cut in two; in a result and in an error."""
    monkeypatch.setenv("SCHEDULE_SECRET_TOKEN", SECRET)
    async with http_server() as server:
        server.answer("/", ANSWERS[answer])
        payload = {
            "url": f"http://127.0.0.1:{server.port}/",
            "headers": {"x-key": {"env": "SCHEDULE_SECRET_TOKEN"}},
            "expected_status": expected,
            "max_response_bytes": 40,
        }
        settings = HttpSettings(allow_private_hosts=["127.0.0.1"])
        fate = await attempt(http_request, context("http-request", payload, HTTP=settings))
    told = f"{fate.result} {fate.error}"
    assert ("***" in told) == (answer != "reason" or expected == 200)  # a reason is told where it is an error
    assert not re.search("s3cret|more|of.it|czNjcmV0|JmmvcmUvb2", told, re.IGNORECASE)
