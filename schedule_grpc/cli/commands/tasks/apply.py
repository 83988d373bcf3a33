"""``schedule-grpc tasks apply``: the tasks that a file declares."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schedule_grpc.cli.connection import Caller, connection
from schedule_grpc.cli.exits import FAILED, USAGE, fail
from schedule_grpc.cli.options import takes
from schedule_grpc.text.terminal import first_line, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schedule_grpc.cli.commands.tasks.difference import Difference
    from schedule_grpc.client import AsyncClient
    from schedule_grpc.domain.task import Task
    from schedule_grpc.errors import InvalidArgument
    from schedule_grpc.formats.task_file import TaskFile

_SUMMARY = ("created", "changed", "deleted")


@takes(call=connection)
def apply(
    *,
    file: Annotated[
        Path, typer.Option("--file", "-f", help="TOML or JSON file with [[tasks]]; - reads standard input")
    ],
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete the tasks of the file's set that are not in the file any more")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check on the server and show the difference, but change nothing")
    ] = False,
    call: Caller,
) -> None:
    """Register the tasks that a file declares.

    All of them, or none if anything is wrong. Each task is marked with the file's `set` (metadata.managed_by), and
    --prune deletes tasks with this mark only.
    """
    declared = _read(file)
    found, failures = call.ask(lambda client: _applied(client, declared, prune=prune, dry_run=dry_run))
    if call.as_json:
        from schedule_grpc.cli.print_json import print_json

        print_json(_json(declared, found, dry_run=dry_run))
    else:
        _print(found, dry_run=dry_run)
    for failure in failures:
        print(plain(failure), file=sys.stderr)
    if failures:
        raise SystemExit(FAILED)


async def _applied(
    client: "AsyncClient", declared: "TaskFile", *, prune: bool, dry_run: bool
) -> "tuple[Difference, list[str]]":
    """Return the changes that were made (dry run: would be made), and a message for each deletion that was refused."""
    from dataclasses import replace

    from schedule_grpc.cli.commands.tasks.difference import difference
    from schedule_grpc.errors import InvalidArgument, NotFound, ScheduleError, Unavailable
    from schedule_grpc.runtime.clock import SystemClock

    tasks: list[Task] = [task async for task in client.tasks()]
    found = difference(declared, tasks, SystemClock().now(), prune=prune)
    if found.registrations:
        try:
            await client.batch_register_tasks(found.registrations, validate_only=dry_run)
        except InvalidArgument as error:
            raise _named(error, [registration.definition.name for registration in found.registrations]) from None
    deleted, failures = [], []
    for task in found.deleted:
        try:
            if not dry_run:
                await client.delete_task(task.name, etag=task.etag)
            deleted.append(task)
        except NotFound:
            continue  # another caller deleted it first
        except Unavailable:
            raise
        except ScheduleError as error:
            failures.append(f"not deleted: {error.message}")
    return replace(found, deleted=tuple(deleted)), failures


def _named(error: "InvalidArgument", names: "Sequence[str]") -> "InvalidArgument":
    """Return the error with tasks by their names: the server's requests[3] is not the fourth task of the file."""
    from dataclasses import replace

    from schedule_grpc.errors import InvalidArgument

    def named(match: "re.Match[str]") -> str:
        return names[int(match[1])] if int(match[1]) < len(names) else match[0]

    return InvalidArgument(
        *(replace(each, field=re.sub(r"^requests\[(\d+)\]", named, each.field)) for each in error.violations),
        message=error.message,
    )


def _read(file: Path) -> "TaskFile":
    """Return the tasks that a file declares, or end the process with a message for every error in it."""
    from schedule_grpc.domain.json_input import document
    from schedule_grpc.errors import InvalidArgument
    from schedule_grpc.formats.task_file import task_file

    name = "standard input" if str(file) == "-" else str(file)
    try:
        decoded = document(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
    except OSError as error:
        fail(f"{name}: {error.strerror}", code=USAGE)
    except ValueError as error:
        fail(f"{name}: {error}", code=USAGE)
    try:
        return task_file(decoded)
    except InvalidArgument as error:
        lines = [f"{name}: nothing was applied", *(f"  {violation}" for violation in error.violations)]
        fail("\n".join(lines), code=USAGE)


def _print(found: "Difference", *, dry_run: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    for registration in found.created:
        definition = registration.definition
        about = f"{definition.schedule.text}, {definition.handler}"
        console.print(Text(f"+ {definition.name}", "green"), Text(f" ({first_line(about)})"))
    for task in found.changed:
        console.print(Text(f"~ {task.registration.definition.name}", "yellow"))
        for change in task.changes:
            before, after = first_line(change.before), first_line(change.after)
            console.print(Text(f"    {first_line(change.field)}: {before} -> {after}".rstrip()))
    for registration in found.passed:
        definition = registration.definition
        console.print(Text(f"! {definition.name}", "yellow"), Text(f" ({definition.schedule.text} has passed)"))
    for deleted in found.deleted:
        console.print(Text(f"- {deleted.name}", "red"))
    counts = [f"{len(getattr(found, kind))} {'to be ' if dry_run else ''}{kind}" for kind in _SUMMARY]
    print(f"{', '.join(counts)}, {len(found.unchanged)} unchanged{'; dry run, nothing was stored' if dry_run else ''}")


def _json(declared: "TaskFile", found: "Difference", *, dry_run: bool) -> dict[str, Any]:
    return {
        "set": declared.owner,
        "dryRun": dry_run,
        "created": [registration.definition.name for registration in found.created],
        "changed": [
            {
                "name": task.registration.definition.name,
                "changes": [
                    {"field": change.field, "before": change.before, "after": change.after} for change in task.changes
                ],
            }
            for task in found.changed
        ],
        "deleted": [task.name for task in found.deleted],
        "unchanged": list(found.unchanged),
        "passed": [registration.definition.name for registration in found.passed],
    }
