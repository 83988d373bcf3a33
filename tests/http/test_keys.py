"""Routes of keys: the same answers as over gRPC, as JSON; no answer that holds a secret is kept on its way."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support.patience import AT_MOST
from support.rigs.rig import START
from support.servers.keyed import Keyed, caller, serving_keys

from schedule_grpc.api.http import keys as models
from schedule_grpc.domain.access.caller import ANYBODY
from schedule_grpc.domain.access.key_text import KeyText

DAY = timedelta(days=1)
DAY_MS = 24 * 3600 * 1000


@pytest.fixture
async def keyed(database: Path) -> AsyncIterator[Keyed]:
    """A server that answers calls about keys."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(serving_keys(database))


@pytest.fixture
async def web_keys(keyed: Keyed) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client of that server."""
    async with httpx2.AsyncClient(base_url=f"http://{keyed.http_address}", timeout=AT_MOST, trust_env=False) as client:
        yield client


async def made(web: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
    """Return the answer to a key that is made."""
    answer = await web.post("/keys", json={"name": "ci", "grants": ["run@reports"]} | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_key_is_made_and_its_text_is_answered_once(keyed: Keyed, web_keys: httpx2.AsyncClient):
    """No proxy and no browser keeps it; a later answer has all but the text."""
    answer = await web_keys.post("/keys", json={"name": "ci", "grants": ["run@reports"], "lifetimeMs": 90 * DAY_MS})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    told = answer.json()
    models.NewKeyAnswer.model_validate(told)
    text = KeyText.read(told["text"])
    assert text is not None
    assert text.id == told["key"]["id"]
    assert told["key"]["expiresAt"] == "2026-05-01T10:00:00.000Z"
    listed = (await web_keys.get("/keys")).json()
    models.KeysAnswer.model_validate(listed)
    assert (listed["count"], listed["keys"]) == (1, [told["key"]])
    assert [key.name for key in (await keyed.client.list_keys()).keys] == ["ci"]


async def test_a_rotation_has_an_overlap(keyed: Keyed, web_keys: httpx2.AsyncClient):
    """Of a day unless told otherwise; none ends the old text at once."""
    first = await made(web_keys)
    answer = await web_keys.post("/keys/ci/rotate")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    told = answer.json()
    models.NewKeyAnswer.model_validate(told)
    assert (told["key"]["id"], told["text"] == first["text"]) == (first["key"]["id"], False)
    assert told["key"]["oldTextExpiresAt"] == "2026-02-01T10:00:00.000Z"
    told = (await web_keys.post("/keys/ci/rotate", json={"overlapMs": 0}, params={"namespace": "reports"})).json()
    assert "oldTextExpiresAt" not in told["key"]
    key = await keyed.store.find_key(first["key"]["id"])
    assert key is not None
    assert not key.had(b"")
    assert key.replaced is None


async def test_a_key_is_revoked_by_its_name(web_keys: httpx2.AsyncClient):
    """Then it is listed on request only, and its name is free."""
    await made(web_keys)
    told = (await web_keys.request("DELETE", "/keys/ci")).json()
    models.KeyAnswer.model_validate(told)
    assert told["key"]["revokedAt"] == "2026-01-31T10:00:00.000Z"
    assert (await web_keys.get("/keys")).json() == {"success": True, "count": 0, "keys": []}
    await made(web_keys)
    page = (await web_keys.get("/keys", params={"showRevoked": True, "pageSize": 1})).json()
    models.KeysAnswer.model_validate(page)
    rest = {"showRevoked": True, "pageSize": 1, "pageToken": page["nextPageToken"]}
    assert (await web_keys.get("/keys", params=rest)).json()["keys"][0]["name"] == "ci"
    answer = await web_keys.request("DELETE", "/keys/other")
    assert (answer.status_code, answer.json()["error"]) == (404, "Key not found: other")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", "/keys", {"name": "ci", "grants": ["run@reports"]}, 409, "Key exists: ci in reports"),
        ("POST", "/keys", {"name": "X", "grants": ["run@reports"]}, 400, "name"),
        ("POST", "/keys", {"name": "x", "grants": ["all@reports"]}, 400, "grants[0]"),
        ("POST", "/keys", {"name": "x", "grants": "run@reports"}, 400, "grants"),
        ("POST", "/keys", {"name": "x"}, 400, "grants"),
        ("POST", "/keys", {"name": "x", "grants": ["run@a"], "lifetime": 1}, 400, "lifetime"),
        ("POST", "/keys", {"name": "x", "grants": ["run@a"], "lifetimeMs": 0}, 400, "lifetime"),
        ("POST", "/keys/ci/rotate", {"overlapMs": 31 * DAY_MS}, 400, "overlap"),
        ("POST", "/keys/none/rotate", {}, 404, "Key not found: none"),
        ("GET", "/keys?namespace=No", None, 400, "namespace"),
        ("GET", "/keys?revoked=1", None, 400, "revoked"),
        ("GET", "/keys?pageSize=0", None, 400, "pageSize"),
    ],
)
async def test_refusals_name_what_is_wrong(
    web_keys: httpx2.AsyncClient, method: str, path: str, body: Any, status: int, error: str
):
    """In the envelope of every other route."""
    await made(web_keys)
    answer = await web_keys.request(method, path, **({} if body is None else {"json": body}))
    assert answer.status_code == status, answer.text
    assert answer.json()["success"] is False
    assert error in answer.text


async def test_a_caller_is_given_what_its_grants_allow(keyed: Keyed, web_keys: httpx2.AsyncClient):
    """403 beyond them; a caller that nobody knows is given no text."""
    await made(web_keys)
    for who, told in ((caller("write@reports"), "admin@reports is needed"), (ANYBODY, "keys create --database")):
        keyed.caller = who
        answer = await web_keys.post("/keys", json={"name": "mine", "grants": ["run@reports"]})
        assert (answer.status_code, told in answer.json()["error"]) == (403, True)


async def test_a_caller_learns_who_it_is(keyed: Keyed, web_keys: httpx2.AsyncClient):
    """With the key that it uses."""
    first = await made(web_keys)
    keyed.caller = caller("run@reports", key_id=first["key"]["id"])
    told = (await web_keys.get("/whoami")).json()
    models.IdentityAnswer.model_validate(told)
    assert told == {
        "success": True,
        "caller": {"name": "key:maker", "grants": ["run@reports"], "namespace": "reports", "key": first["key"]},
    }
    keyed.caller = ANYBODY
    assert "key" not in (await web_keys.get("/whoami")).json()["caller"]


async def test_a_use_is_shown(keyed: Keyed, web_keys: httpx2.AsyncClient):
    """When it was, within a minute."""
    first = await made(web_keys)
    await keyed.store.note_keys_used([first["key"]["id"]], now=START + DAY)
    assert (await web_keys.get("/keys")).json()["keys"][0]["lastUsed"] == "2026-02-01T10:00:00.000Z"
