"""Routes of keys: list, make, rotate, revoke; who the caller is."""

from datetime import timedelta
from enum import Enum
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, Query
from pydantic import ConfigDict, Field

from schedule_grpc.access.current import current_call
from schedule_grpc.api.http.bodies import Body, Milliseconds
from schedule_grpc.api.http.envelope import Answer, success
from schedule_grpc.api.http.routing import BODY, PageToken, described
from schedule_grpc.api.http.shown import Success
from schedule_grpc.api.http.shown_tasks import TIME, Shown
from schedule_grpc.domain.access.keys import DEFAULT_OVERLAP, KeyFilter, KeyRequest, NewKey
from schedule_grpc.domain.durations import MILLISECOND
from schedule_grpc.domain.paging import MAX_PAGE_SIZE, Page
from schedule_grpc.formats.json_answers import identity_json, key_json
from schedule_grpc.service.keys import KeyService

TAGS: list[str | Enum] = ["keys"]
UNKEPT = {"cache-control": "no-store"}
"""The headers of an answer that holds a secret."""

KeyNamespace = Annotated[str, Query(alias="namespace", description="Namespace of the key; * for keys of more than one")]


class KeyBody(Body):
    """A key that the caller wants."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "reports-ci", "grants": ["run@reports"], "lifetimeMs": 7_776_000_000}]}
    )

    name: str = Field(description="The key's name: a-z, then a-z, 0-9 and -, at most 63 characters")
    grants: list[str] = Field(
        description="What a caller with the key may do: SCOPE@NAMESPACE or SCOPE@NAMESPACE/PREFIX"
    )
    lifetime_ms: Milliseconds | None = Field(
        default=None, description="After this time the key is not accepted; unset: it does not expire"
    )


class RotationBody(Body):
    """How a key gets a new text."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlapMs": 86_400_000}]})

    overlap_ms: Milliseconds | None = Field(
        default=None, description="How long the present text is accepted as well, at most 30 days; by default 24 hours"
    )


class Key(Shown):
    """A key, without its text."""

    name: str = Field(description="The key's name, unique among the keys of its namespace that are not revoked")
    id: str = Field(description="The part of the text that is no secret; the same after a rotation")
    namespace: str = Field(description="The only namespace that the grants name, else *")
    grants: list[str] = Field(description="What a caller with the key may do")
    created_at: str = Field(description="When the key was made", json_schema_extra=TIME)
    created_by: str = Field(description="The caller that made it")
    rotated_at: str = Field(description="When its present text was made", json_schema_extra=TIME)
    expires_at: str = Field(default="", description="From then on it is not accepted", json_schema_extra=TIME)
    revoked_at: str = Field(default="", description="When it was revoked", json_schema_extra=TIME)
    last_used: str = Field(default="", description="When it was last used, within a minute", json_schema_extra=TIME)
    old_text_expires_at: str = Field(
        default="", description="Until when the text before the last rotation is accepted", json_schema_extra=TIME
    )


class KeyAnswer(Success):
    """A key."""

    key: Key = Field(description="The key")


class NewKeyAnswer(KeyAnswer):
    """A key with its text, which no later answer has."""

    text: str = Field(description="The key's text: a secret")


class KeysAnswer(Success):
    """A page of keys."""

    count: int = Field(description="The number of keys in the page")
    keys: list[Key] = Field(description="The keys, in the order of their names")
    next_page_token: str = Field(default="", description="The pageToken of the next page; absent on the last one")


class Identity(Shown):
    """The caller as the server knows it."""

    name: str = Field(description="key:NAME, the name of a certificate, socket or anonymous")
    grants: list[str] = Field(description="What the caller may do")
    namespace: str = Field(description="The namespace of its calls that name none")
    key: Key | None = Field(default=None, description="The key that it uses; absent if it uses none")


class IdentityAnswer(Success):
    """The caller."""

    caller: Identity = Field(description="The caller as the server knows it")


class KeyRoutes:
    """The routes of keys."""

    def __init__(self, keys: KeyService) -> None:
        """Take the service of keys."""
        self._keys = keys

    def add_to(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        get, post = partial(app.get, tags=TAGS), partial(app.post, tags=TAGS)
        get("/keys", responses=described(KeysAnswer))(self.list_keys)
        post("/keys", responses=described(NewKeyAnswer, 409, *BODY))(self.create_key)
        post("/keys/{name}/rotate", responses=described(NewKeyAnswer, 404, *BODY))(self.rotate_key)
        app.delete("/keys/{name}", tags=TAGS, responses=described(KeyAnswer, 404, *BODY))(self.revoke_key)
        get("/whoami", responses=described(IdentityAnswer))(self.who_am_i)

    async def list_keys(
        self,
        *,
        namespace: KeyNamespace = "",
        show_revoked: Annotated[bool, Query(alias="showRevoked", description="Also keys that are revoked")] = False,
        page_size: Annotated[int, Query(alias="pageSize", ge=1, description="Keys in the answer, at most")] = 100,
        page_token: PageToken = "",
    ) -> Answer:
        """List the keys that the caller manages, in the order of their names."""
        chosen = KeyFilter(namespace=namespace, show_revoked=show_revoked)
        page = await self._keys.list_keys(
            current_call().caller, chosen, Page(size=min(page_size, MAX_PAGE_SIZE), token=page_token)
        )
        keys = list(map(key_json, page.keys))
        return success(count=len(keys), keys=keys, nextPageToken=page.next_page_token or None)

    async def create_key(self, body: KeyBody) -> Answer:
        """Make a key. Its text is answered this once: the server keeps only a digest of it."""
        request = KeyRequest(name=body.name, grants=tuple(body.grants), lifetime=_span(body.lifetime_ms))
        return _new(await self._keys.create_key(current_call().caller, request))

    async def rotate_key(self, name: str, body: RotationBody | None = None, *, namespace: KeyNamespace = "") -> Answer:
        """Give a key a new text, and answer it this once. The present one is accepted for a while longer."""
        asked = _span(body.overlap_ms) if body else None
        overlap = DEFAULT_OVERLAP if asked is None else asked
        return _new(await self._keys.rotate_key(current_call().caller, name, namespace=namespace, overlap=overlap))

    async def revoke_key(self, name: str, *, namespace: KeyNamespace = "") -> Answer:
        """Revoke a key: within a second no server accepts it any more."""
        return success(key=key_json(await self._keys.revoke_key(current_call().caller, name, namespace=namespace)))

    async def who_am_i(self) -> Answer:
        """Return who the server takes the caller for, and what it may do."""
        return success(caller=identity_json(await self._keys.who_am_i(current_call().caller)))


def _new(made: NewKey) -> Answer:
    content: dict[str, Any] = {"success": True, "key": key_json(made.key), "text": made.text}
    return Answer(content, headers=UNKEPT)


def _span(milliseconds: float | None) -> timedelta | None:
    return None if milliseconds is None else milliseconds * MILLISECOND
