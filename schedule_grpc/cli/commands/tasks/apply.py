"""``schedule-grpc tasks apply``: the tasks that a file declares."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schedule_grpc.cli.connection import Caller, connection
from schedule_grpc.cli.exits import FAILED, USAGE, fail
from schedule_grpc.cli.option_groups import takes
from schedule_grpc.text.terminal import first_line, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schedule_grpc.cli.commands.tasks.difference import Difference
    from schedule_grpc.client import AsyncClient
    from schedule_grpc.domain.registration import Registration
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

    All of them, or none if anything is wrong; all of one namespace after the other. Each task is marked with the file's
    `set` (metadata.managed_by), and --prune deletes tasks with this mark only. `namespace` in the file, at its top or
    in a task, comes before --namespace.
    """
    declared = _read(file, call.namespace)
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
) -> "tuple[list[Difference], list[str]]":
    """Return the changes that were made (dry run: would be made), and a message for each deletion that was refused."""
    from schedule_grpc.cli.commands.tasks.difference import difference
    from schedule_grpc.runtime.clock import SystemClock

    found: list[Difference] = []
    wanted: set[tuple[str, str]] = set()
    for part in declared.parts():
        tasks: list[Task] = [task async for task in _of(client, part.namespace).tasks()]
        namespace = tasks[0].namespace if tasks else part.namespace  # the server's choice, where the file names none
        wanted |= {(namespace, registration.definition.name) for registration in part.registrations}
        found.append(difference(part, tasks, SystemClock().now(), prune=prune))
    found = [each.sparing(wanted) for each in found]
    if len(found) > 1 or dry_run:
        for each in found:  # before the first namespace is changed
            await _register(client, each, validate_only=True)
    failures: list[str] = []
    for number, each in enumerate(found):
        if not dry_run:
            await _register(client, each, validate_only=False)
        found[number], refused = await _pruned(client, each, dry_run=dry_run)
        failures += refused
    return found, failures


def _of(client: "AsyncClient", namespace: str) -> "AsyncClient":
    """Return a client of a part's namespace; the command's own if the file names none."""
    return client.in_namespace(namespace) if namespace else client


async def _register(client: "AsyncClient", found: "Difference", *, validate_only: bool) -> None:
    from schedule_grpc.errors import InvalidArgument

    if not found.registrations:
        return
    try:
        await _of(client, found.namespace).batch_register_tasks(found.registrations, validate_only=validate_only)
    except InvalidArgument as error:
        names = [found.shown(registration.definition.name) for registration in found.registrations]
        raise _named(error, names) from None


async def _pruned(client: "AsyncClient", found: "Difference", *, dry_run: bool) -> "tuple[Difference, list[str]]":
    """Delete what is to be deleted; return the difference with what was, and a message for each refused deletion."""
    from dataclasses import replace

    from schedule_grpc.errors import NotFound, ScheduleError, Unavailable

    deleted, failures = [], []
    for task in found.deleted:
        try:
            if not dry_run:
                await _of(client, found.namespace).delete_task(task.name, etag=task.etag)
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


def _read(file: Path, namespace: str) -> "TaskFile":
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
        return task_file(decoded, namespace=namespace)
    except InvalidArgument as error:
        lines = [f"{name}: nothing was applied", *(f"  {violation}" for violation in error.violations)]
        fail("\n".join(lines), code=USAGE)


def _print(differences: "Sequence[Difference]", *, dry_run: bool) -> None:
    for found in differences:
        _print_changes(found)
    counts = [
        f"{sum(len(getattr(found, kind)) for found in differences)} {'to be ' if dry_run else ''}{kind}"
        for kind in _SUMMARY
    ]
    unchanged = sum(len(found.unchanged) for found in differences)
    print(f"{', '.join(counts)}, {unchanged} unchanged{'; dry run, nothing was stored' if dry_run else ''}")


def _print_changes(found: "Difference") -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    for registration in found.created:
        definition = registration.definition
        about = f"{definition.schedule.text}, {definition.handler}"
        console.print(Text(f"+ {found.shown(definition.name)}", "green"), Text(f" ({first_line(about)})"))
    for task in found.changed:
        console.print(Text(f"~ {found.shown(task.registration.definition.name)}", "yellow"))
        for change in task.changes:
            before, after = first_line(change.before), first_line(change.after)
            console.print(Text(f"    {first_line(change.field)}: {before} -> {after}".rstrip()))
    for registration in found.passed:
        definition = registration.definition
        about = f" ({definition.schedule.text} has passed)"
        console.print(Text(f"! {found.shown(definition.name)}", "yellow"), Text(about))
    for deleted in found.deleted:
        console.print(Text(f"- {found.shown(deleted.name)}", "red"))


def _json(declared: "TaskFile", differences: "Sequence[Difference]", *, dry_run: bool) -> dict[str, Any]:
    def names(kind: str) -> list[str]:
        return [found.shown(_name(each)) for found in differences for each in getattr(found, kind)]

    return {
        "set": declared.owner,
        "dryRun": dry_run,
        "created": names("created"),
        "changed": [
            {
                "name": found.shown(_name(task.registration)),
                "changes": [
                    {"field": change.field, "before": change.before, "after": change.after} for change in task.changes
                ],
            }
            for found in differences
            for task in found.changed
        ],
        "deleted": names("deleted"),
        "unchanged": names("unchanged"),
        "passed": names("passed"),
    }


def _name(task: "Task | Registration | str") -> str:
    if isinstance(task, str):
        return task
    return task.definition.name
