"""``schedule-grpc keys``: what it shows, what it keeps to itself, and the first key, which no server makes."""

import asyncio
import re
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
from support.rigs.rig import START
from support.servers.keyed import Keyed, caller, serving_keys
from support.servers.postgres import Postgres
from support.servers.process import serving

from schedule_grpc.database import load_migrations
from schedule_grpc.database.sqlite.prepare import prepare
from schedule_grpc.domain.access.key_text import KeyText
from schedule_grpc.events import Hub
from schedule_grpc.store import NEWEST, open_store

DAY = timedelta(days=1)
SHOWN_ONCE = "This is the key's text. It is shown this once: keep it where only its user can read it.\n"
Ask: TypeAlias = Callable[..., Awaitable]


@pytest.fixture
async def keyed(database: Path) -> AsyncIterator[Keyed]:
    """A server that answers calls about keys."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(serving_keys(database))


@pytest.fixture
def ask_keys(keyed: Keyed, tell) -> Ask:
    """Run ``keys ...`` against that server, which lives in this process's event loop."""

    async def run(*arguments: str, stdin: str = ""):
        return await asyncio.to_thread(tell, "keys", *arguments, "--server", keyed.address, stdin=stdin)

    return run


async def test_the_text_is_the_only_output(keyed: Keyed, ask_keys: Ask):
    """So that it can be piped; the note goes to standard error. A key lasts 90 days unless told otherwise."""
    done = await ask_keys("create", "ci", "--grant", "write@reports", "--grant", "run@reports/a")
    assert (done.code, done.err) == (0, SHOWN_ONCE)
    text = KeyText.read(done.out.removesuffix("\n"))
    assert text is not None
    (key,) = (await keyed.client.list_keys()).keys
    assert (key.id, key.grants, key.expire_time) == (text.id, ("write@reports", "run@reports/a"), START + 90 * DAY)
    for options, ends in ((("--expires", "7d"), START + 7 * DAY), (("--no-expiry",), None)):
        name = f"k{len(options)}"
        done = await ask_keys("create", name, "--grant", "run@reports", *options, "--json")
        assert (done.code, done.err) == (0, "")
        assert KeyText.read(done.json["text"]) is not None
        assert done.json["key"]["name"] == name
        assert {key.name: key.expire_time for key in (await keyed.client.list_keys()).keys}[name] == ends


async def test_a_text_goes_into_a_new_file_of_its_owners(keyed: Keyed, ask_keys: Ask, tmp_path: Path):
    """And nowhere else: mode 0600; a file that is there stays, and then no key is made."""
    out = tmp_path / "ci.key"
    done = await ask_keys("create", "ci", "--grant", "run@reports", "--out", str(out))
    assert (done.code, done.err) == (0, "")
    assert "sgk_" not in done.out
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert KeyText.read(out.read_text().removesuffix("\n")) is not None
    before = out.read_text()
    done = await ask_keys("create", "other", "--grant", "run@reports", "--out", str(out))
    assert (done.code, done.err) == (1, f"--out {out}: File exists\n")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    assert (await ask_keys("create", "other", "--grant", "run@reports", "--out", str(link))).code == 1
    assert (out.read_text(), (tmp_path / "elsewhere").exists()) == (before, False)
    assert [key.name for key in (await keyed.client.list_keys()).keys] == ["ci"]


async def test_a_call_that_is_refused_leaves_no_file(ask_keys: Ask, keyed: Keyed, tmp_path: Path):
    """The file is made before the key is, and goes again."""
    keyed.caller = caller("write@reports")
    done = await ask_keys("create", "ci", "--grant", "run@reports", "--out", str(tmp_path / "ci.key"))
    assert (done.code, done.out) == (1, "")
    assert done.err == "Permission denied: admin@reports is needed\n"
    assert not (tmp_path / "ci.key").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", "ci"), "--grant"),
        (("create", "ci", "--grant", "run@a", "--expires", "1d", "--no-expiry"), "exclude each other"),
        (("create", "ci", "--grant", "run@a", "--expires", "soon"), "'soon' is not a duration"),
        (("rotate", "ci", "--overlap", "soon"), "'soon' is not a duration"),
        (("list", "--unused", "soon"), "'soon' is not a duration"),
        (("revoke",), "give the name of a key, or --token-stdin"),
        (("revoke", "ci", "--token-stdin"), "give the name of a key, or --token-stdin"),
        (("revoke", "--token-stdin"), "standard input is empty"),
    ],
)
def test_commands_that_cannot_be_meant(tell, arguments: tuple[str, ...], told: str):
    """They end with 2, before a server is asked."""
    done = tell("keys", *arguments, "--server", "127.0.0.1:1")
    assert (done.code, done.out) == (2, "")
    assert told in re.sub(r"\s+", " ", done.err)


async def test_a_list_shows_all_but_the_texts(keyed: Keyed, ask_keys: Ask):
    """By name, with their last use and their end; as JSON for programs."""
    assert (await ask_keys("list")).out == "No keys.\n"
    made = await keyed.client.create_key("ci", ["run@reports"], lifetime=DAY)
    await keyed.client.create_key("old", ["observe@*"])
    await keyed.client.revoke_key("old")
    await keyed.store.note_keys_used([made.key.id], now=START)
    assert (await ask_keys("list")).out.splitlines() == [
        "KEY  ID        CREATED               LAST USED             EXPIRES               GRANTS",
        f"ci   {made.key.id}  2026-01-31 10:00:00Z  2026-01-31 10:00:00Z  2026-02-01 10:00:00Z  run@reports",
    ]
    done = await ask_keys("list", "--revoked", "--json")
    assert [(key["name"], key.get("revokedAt")) for key in done.json] == [
        ("ci", None),
        ("old", "2026-01-31T10:00:00.000Z"),
    ]
    assert made.text not in done.out
    assert "revoked 2026-01-31 10:00:00Z" in (await ask_keys("list", "--revoked", "--namespace", "*")).out


async def test_a_list_of_the_unused(keyed: Keyed, ask_keys: Ask):
    """Neither used nor made within that time; the clock of this machine counts."""
    for name in ("idle", "busy"):
        made = await keyed.client.create_key(name, ["run@reports"])
    done = await ask_keys("list", "--unused", "1d", "--json")
    assert [key["name"] for key in done.json] == ["busy", "idle"]
    await keyed.store.note_keys_used([made.key.id], now=START + 30_000 * DAY)
    assert [key["name"] for key in (await ask_keys("list", "--unused", "1d", "--json")).json] == ["idle"]
    assert (await ask_keys("list", "--unused", "36500d")).out == "No keys.\n"


async def test_rotate_answers_the_new_text(keyed: Keyed, ask_keys: Ask, tmp_path: Path):
    """On standard output, or in a file with the facts beside it."""
    first = await keyed.client.create_key("ci", ["run@reports"])
    done = await ask_keys("rotate", "ci")
    assert (done.code, done.err) == (0, SHOWN_ONCE)
    assert done.out.startswith(f"sgk_{first.key.id}_")
    done = await ask_keys("rotate", "ci", "--overlap", "1h", "--out", str(tmp_path / "k"))
    assert "old text   accepted until 2026-01-31 11:00:00Z\n" in done.out
    assert (tmp_path / "k").read_text().startswith(f"sgk_{first.key.id}_")


async def test_revoke_by_name_or_by_a_leaked_text(keyed: Keyed, ask_keys: Ask):
    """The text is read from standard input: arguments can be seen by every user of the machine."""
    await keyed.client.create_key("a", ["run@reports"])
    leaked = await keyed.client.create_key("b", ["run@reports"])
    done = await ask_keys("revoke", "a")
    assert (done.code, "expires    revoked 2026-01-31 10:00:00Z\n" in done.out) == (0, True)
    done = await ask_keys("revoke", "--token-stdin", "--json", stdin=f"{leaked.text}\n")
    assert (done.code, done.json["name"]) == (0, "b")
    done = await ask_keys("revoke", "--token-stdin", stdin=f"{leaked.text[:-1]}_\n")
    assert (done.code, leaked.text[13:40] in done.err + done.out) == (1, False)
    assert (await ask_keys("revoke", "a")).err == "Key not found: a\n"


async def test_whoami(keyed: Keyed, ask_keys: Ask):
    """The caller, its grants, and its key."""
    made = await keyed.client.create_key("ci", ["run@reports"])
    keyed.caller = caller("run@reports", key_id=made.key.id)
    done = await ask_keys("whoami")
    assert done.out.splitlines()[:4] == [
        "caller     key:maker",
        "grants     run@reports",
        "namespace  reports",
        "key        ci",
    ]
    assert (await ask_keys("whoami", "--json")).json["key"]["id"] == made.key.id


@pytest.mark.keyless
def test_a_server_without_keys_gives_none(server, ask):
    """Whoever reaches it first would be its administrator: the message names the ways to the first key."""
    done = ask("keys", "create", "root", "--grant", "admin@*")
    assert (done.code, done.out) == (1, "")
    assert "keys create --database URL" in done.err
    assert ask("keys", "whoami").out.splitlines()[0] == "caller     anonymous"


def test_the_first_key_is_written_into_a_file_that_no_server_uses(tell, tmp_path: Path):
    """Before the first server, too; a server keeps others out."""
    url = f"sqlite:///{tmp_path / 'schedule.db'}"
    first = tell("keys", "create", "root", "--grant", "admin@*", "--no-expiry", "--database", url)
    assert (first.code, first.err) == (0, SHOWN_ONCE)
    done = tell("keys", "create", "root", "--grant", "admin@*", "--database", url)
    assert (done.code, done.err) == (1, "Key exists: root in *; rotate it, or revoke it first\n")
    with serving(tmp_path):
        done = tell("keys", "create", "other", "--grant", "admin@*", "--database", url)
        assert (done.code, done.out) == (1, "")
        assert "is using this file" in done.err
    assert asyncio.run(_names(tmp_path / "schedule.db")) == [("root", "offline")]


def test_a_request_that_is_refused_makes_no_database(tell, tmp_path: Path):
    """Nor does a setting that cannot be read."""
    url = f"sqlite:///{tmp_path / 'schedule.db'}"
    done = tell("keys", "create", "Root", "--grant", "admin@*", "--database", url)
    assert (done.code, "name: must be a-z" in done.err) == (1, True)
    assert tell("keys", "create", "root", "--grant", "admin@*", "--database", "mysql://x").code == 2
    assert list(tmp_path.iterdir()) == []


def test_an_older_database_is_not_migrated_for_a_key(tell, tmp_path: Path):
    """Servers of its version may be using it."""
    path = tmp_path / "schedule.db"
    older = load_migrations("schedule_grpc.store.migrations")[:-1]
    prepare(path, older, 0x53434844)
    done = tell("keys", "create", "root", "--grant", "admin@*", "--database", f"sqlite:///{path}")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"sqlite:///{path} has schema version {len(older)}, and this program needs {NEWEST}: "
        "run schedule-grpc migrate first\n"
    )


def test_a_key_is_written_beside_servers_on_postgresql(tell, postgres: Postgres):
    """At any time, by the database's clock."""
    with postgres.database() as url:
        done = tell("keys", "create", "root", "--grant", "admin@*", "--database", url, "--json")
        assert (done.code, KeyText.read(done.json["text"]) is None) == (0, False)
        assert asyncio.run(_names(url)) == [("root", "offline")]


async def _names(place: Path | str) -> list[tuple[str, str]]:
    store = await open_store(place, Hub())
    try:
        return [(key.name, key.created_by) for key in (await store.keys_in_use())[1]]
    finally:
        await store.close()
