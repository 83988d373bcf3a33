"""Shell completion: names that a running server knows, within a second or not at all."""

import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from schedule_grpc.client import AsyncClient

DEADLINE = 1.0
"""Seconds; a person has pressed a key and waits."""
SHOWN = 200
_FILES = ("token_file", "tls_ca", "tls_cert", "tls_key")
_CONNECTION = ("server", "token", "namespace", "context", *_FILES)


def task_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of tasks that begin with the text."""
    from schedule_grpc.domain.task import TaskFilter

    async def question(client: "AsyncClient") -> list[str]:
        page = await client.list_tasks(TaskFilter(name_prefix=incomplete), page_size=SHOWN)
        return [task.name for task in page.tasks]

    return _known_names(context, question)


def handler_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of handlers that begin with the text."""

    async def question(client: "AsyncClient") -> list[str]:
        return [handler.name for handler in await client.list_handlers() if handler.name.startswith(incomplete)]

    return _known_names(context, question)


def states(incomplete: str) -> list[str]:
    """Return the states that begin with the text, as they are written on the command line."""
    from schedule_grpc.domain.execution import STATES

    return [state.lower() for state in STATES if state.lower().startswith(incomplete)]


def zones(incomplete: str) -> list[str]:
    """Return the time zones that begin with the text."""
    from zoneinfo import available_timezones

    return sorted(name for name in available_timezones() if name.startswith(incomplete))


def _known_names(context: typer.Context, question: Callable[["AsyncClient"], Awaitable[Sequence[str]]]) -> list[str]:
    # An error would be printed into the line that a person is typing: the shell gets no names instead.
    import asyncio
    import contextlib

    from schedule_grpc.cli.connection import connection

    given = {name: context.params.get(name) or os.environ.get(f"SCHEDULE_{name.upper()}") for name in _CONNECTION}
    options: dict[str, Any] = {name: value for name, value in given.items() if value}
    options |= {name: Path(options[name]) for name in _FILES if name in options}

    async def call() -> list[str]:
        async with connection(**options).client(deadline=DEADLINE, attempts=1) as client:
            return [name for name in await question(client) if name.isprintable()]

    with contextlib.suppress(Exception):
        return asyncio.run(call())
    return []
