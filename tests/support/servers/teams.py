"""A server that knows its callers: two namespaces, and a key of every kind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from support.patience import calling
from support.servers.live import Live, serving

from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.access.key_text import new_key

GRANTS: dict[str, tuple[str, ...]] = {
    **{scope: (f"{scope}@default",) for scope in ("observe", "read", "run", "write", "admin", "worker")},
    "operator": ("admin@*",),
    "auditor": ("observe@*",),
    "other": ("write@other",),
    "inside": ("write@default/task",),
    "outside": ("write@default/other-",),
    "rotated": ("run@default",),
}
"""The grants of keys, by their names."""


@dataclass(kw_only=True)
class Teams:
    """The server, and the headers by which callers prove who they are, or do not."""

    live: Live
    socket: str
    """The address of a unix socket, whose callers may do everything."""
    authorizations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The values of ``authorization``, by the name of who sends them."""
    held: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The grants of those that the server knows; who is not in it is refused."""

    def metadata(self, who: str) -> tuple[tuple[str, str], ...]:
        """Return a caller's gRPC metadata."""
        return tuple(("authorization", value) for value in self.authorizations[who])


@asynccontextmanager
async def serving_teams(database: Path, folder: Path, **settings: Any) -> AsyncIterator[Teams]:
    """Run a whole server that requires proof, with one task and one execution in `default`."""
    socket = f"unix:{folder}/operator.sock"
    told = {
        "grpc": ["127.0.0.1:0", socket],
        "http": "127.0.0.1:0",
        "auth": {"mode": "required"},
        "bindings": {"DB": f"sqlite:///{folder}/platform.db"},
    }
    async with serving(database, **(told | settings)) as live, calling(socket) as operator:
        await operator.create_namespace("other")
        await operator.register_task(name="task", schedule="@manual", handler="steps", payload={"secret": "hunter2"})
        teams = Teams(live=live, socket=socket)
        await _give_keys(teams, operator)
        yield teams


async def _give_keys(teams: Teams, operator: AsyncClient) -> None:
    texts = {}
    for name, grants in GRANTS.items():
        texts[name] = (await operator.create_key(name, grants)).text
    texts["overlapping"] = texts["rotated"]
    texts["rotated"] = (await operator.rotate_key("rotated")).text
    gone = (await operator.create_key("gone", ["admin@*"])).text
    await operator.revoke_key("gone")
    once = (await operator.create_key("once", ["admin@*"])).text
    await operator.rotate_key("once", overlap=timedelta(0))
    good = texts["operator"]
    teams.held = {name: GRANTS.get(name, GRANTS["rotated"]) for name in texts}
    teams.authorizations = {name: (f"Bearer {text}",) for name, text in texts.items()} | {
        "nobody": (),
        "an empty token": ("Bearer ",),
        "another scheme": (f"Basic {good}",),
        "no scheme": (good,),
        "two tokens": (f"Bearer {good}", f"Bearer {good}"),
        "no key": ("Bearer hunter2",),
        "a key with a wrong check": (f"Bearer {good[:-1]}{'a' if good[-1] != 'a' else 'b'}",),
        "an unknown key": (f"Bearer {new_key().text}",),
        "a key with another secret": (f"Bearer {new_key(good[4:12]).text}",),
        "a revoked key": (f"Bearer {gone}",),
        "a replaced text": (f"Bearer {once}",),
    }


def channel_to(address: str) -> grpc.aio.Channel:
    """Return a channel without any credentials."""
    return grpc.aio.insecure_channel(address)
