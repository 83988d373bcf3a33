"""``schedule-grpc keys ...``: make, list, rotate and revoke keys; who the server takes the caller for."""

import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from schedule_grpc.cli.connection import Caller, connection
from schedule_grpc.cli.exits import FAILED, USAGE, exiting_on_refusals, fail
from schedule_grpc.cli.option_groups import takes
from schedule_grpc.cli.options import duration
from schedule_grpc.text.terminal import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from schedule_grpc.client import AsyncClient
    from schedule_grpc.domain.access.keys import KeyInfo, KeyRequest, NewKey

app = typer.Typer(
    help="Make, list, rotate and revoke keys, which callers show to the server.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

LIFETIME = "90d"
SHOWN_ONCE = "This is the key's text. It is shown this once: keep it where only its user can read it."
LONGEST_TOKEN = 1024
"""Characters that are read of a token."""

KeyName = Annotated[str, typer.Argument(help="Name of the key")]
Out = Annotated[
    Path | None, typer.Option(help="Write the key's text to this new file, which only you can read; print it otherwise")
]


@app.command()
@takes(call=connection)
def create(
    name: Annotated[str, typer.Argument(help="Name of the new key: a-z, then a-z, 0-9 and -")],
    *,
    grant: Annotated[
        list[str],
        typer.Option(help="What the key allows: SCOPE@NAMESPACE or SCOPE@NAMESPACE/PREFIX, as run@reports; repeatable"),
    ],
    expires: Annotated[str | None, typer.Option(help=f"The key is not accepted after this time [{LIFETIME}]")] = None,
    no_expiry: Annotated[bool, typer.Option("--no-expiry", help="The key does not expire")] = False,
    out: Out = None,
    database: Annotated[
        str | None,
        typer.Option(
            help="Ask no server: write into this database; a file's server must be stopped. For the first key"
        ),
    ] = None,
    call: Caller,
) -> None:
    """Make a key. The scopes are observe, read, run, write, admin, each of which includes those before it; worker."""
    from schedule_grpc.domain.access.keys import KeyRequest

    if no_expiry and expires is not None:
        fail("--expires and --no-expiry exclude each other", code=USAGE)
    lifetime = None if no_expiry else duration("--expires", expires or LIFETIME)
    request = KeyRequest(name=name, grants=tuple(grant), lifetime=lifetime)
    if database is not None:
        _hand_over(call, out, lambda: _created_offline(call, database, request))
        return
    _hand_over(call, out, lambda: call.ask(lambda client: client.create_key(name, request.grants, lifetime=lifetime)))


@app.command("list")
@takes(call=connection)
def list_(
    *,
    unused: Annotated[str | None, typer.Option(help="Only keys that were not used for this time, as 90d")] = None,
    revoked: Annotated[bool, typer.Option("--revoked", help="Also keys that are revoked")] = False,
    call: Caller,
) -> None:
    """List the keys that you manage, by name; with --namespace only its keys, with '*' those of more than one."""
    from schedule_grpc.cli import tables
    from schedule_grpc.cli.answers import show
    from schedule_grpc.formats.json_answers import key_json

    idle = None if unused is None else duration("--unused", unused)

    async def question(client: "AsyncClient") -> "list[KeyInfo]":
        return [key async for key in client.keys(namespace=call.namespace, show_revoked=revoked)]

    found = _anywhere(call).ask(question)
    if idle is not None:
        found = _idle(found, idle)
    if not found and not call.as_json:
        print("No keys.")
        return
    show(call, found, json=lambda keys: list(map(key_json, keys)), people=tables.print_keys)


@app.command()
@takes(call=connection)
def rotate(
    name: KeyName,
    *,
    overlap: Annotated[str, typer.Option(help="How long the present text is accepted as well, at most 30d")] = "24h",
    out: Out = None,
    call: Caller,
) -> None:
    """Give a key a new text. The present one is accepted for a while longer; give the new one to the key's users.

    --namespace is that of the key, '*' if it has grants in more than one; needed if it is not clear.
    """
    span = duration("--overlap", overlap)

    def make() -> "NewKey":
        return _anywhere(call).ask(lambda client: client.rotate_key(name, namespace=call.namespace, overlap=span))

    _hand_over(call, out, make)


@app.command()
@takes(call=connection)
def revoke(
    name: Annotated[str, typer.Argument(help="Name of the key; or use --token-stdin")] = "",
    *,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Revoke the key whose text is on standard input, such as a leaked one")
    ] = False,
    call: Caller,
) -> None:
    """Revoke a key. Within a second no server accepts it any more.

    --namespace is that of the key, '*' if it has grants in more than one; needed if it is not clear.
    """
    from schedule_grpc.cli import tables
    from schedule_grpc.cli.answers import show
    from schedule_grpc.formats.json_answers import key_json

    if token_stdin == bool(name):
        fail("give the name of a key, or --token-stdin", code=USAGE)
    text = sys.stdin.readline(LONGEST_TOKEN).strip() if token_stdin else ""
    if token_stdin and not text:
        fail("standard input is empty", code=USAGE)
    namespace = "" if token_stdin else call.namespace
    key = _anywhere(call).ask(lambda client: client.revoke_key(name, namespace=namespace, text=text))
    show(call, key, json=key_json, people=tables.print_key)


@app.command()
@takes(call=connection)
def whoami(*, call: Caller) -> None:
    """Show who the server takes you for, and what you may do."""
    from schedule_grpc.cli import tables
    from schedule_grpc.cli.answers import show
    from schedule_grpc.formats.json_answers import identity_json

    found = call.ask(lambda client: client.who_am_i())
    show(call, found, json=identity_json, people=tables.print_identity)


def _anywhere(call: Caller) -> Caller:
    """Return the caller without its namespace, which here is the one of keys, and may be ``*``."""
    return replace(call, namespace="")


def _hand_over(call: Caller, out: Path | None, make: "Callable[[], NewKey]") -> None:
    """Make a key and write its text: into a file that was made before, or else to standard output."""
    if out is None:
        _show_new(call, make())
        return
    with _new_file(out) as write:
        made = make()
        write(f"{made.text}\n")
    _show_new(call, made, file=out)


@contextmanager
def _new_file(path: Path) -> "Iterator[Callable[[str], None]]":
    from schedule_grpc.runtime import private_files

    try:
        with private_files.new_file(path) as write:
            yield write
    except OSError as error:
        _fail_at(path, error)


def _fail_at(path: Path, error: OSError) -> NoReturn:
    fail(f"--out {path}: {error.strerror or error}", code=FAILED)


def _show_new(call: Caller, made: "NewKey", *, file: Path | None = None) -> None:
    from schedule_grpc.cli import tables
    from schedule_grpc.cli.print_json import print_json
    from schedule_grpc.formats.json_answers import key_json

    if call.as_json:
        place = {"text": made.text} if file is None else {"file": str(file)}
        print_json({"key": key_json(made.key), **place})
    elif file is not None:
        tables.print_key(made.key)
    else:
        print(SHOWN_ONCE, file=sys.stderr, flush=True)
        print(plain(made.text))


def _created_offline(call: Caller, database: str, request: "KeyRequest") -> "NewKey":
    import asyncio

    from schedule_grpc.cli.offline import create_key
    from schedule_grpc.settings.config import load

    with call.exiting_on_errors(), exiting_on_refusals():
        return asyncio.run(create_key(load({"database": database}).database, request))


def _idle(keys: "list[KeyInfo]", span: "timedelta") -> "list[KeyInfo]":
    """Return the keys that were neither used nor made within a time."""
    from schedule_grpc.runtime.clock import SystemClock

    since = SystemClock().now() - span
    return [key for key in keys if (key.last_used_time or key.create_time) < since]
