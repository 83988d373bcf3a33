"""``schedule-grpc import ...``: schedules of other programs as a task file, which ``tasks apply`` takes."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from schedule_grpc.cli.completion import zones
from schedule_grpc.cli.exits import FAILED, USAGE, fail, warn
from schedule_grpc.cli.option_groups import takes

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from schedule_grpc.formats.imported.values import Imported

app = typer.Typer(
    help="Write a task file from a crontab, APScheduler, Celery beat or Kubernetes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_SYSTEM, _SYSTEM_FOLDER = "/etc/crontab", "/etc/cron.d/"
_NO_YAML = (
    "YAML needs PyYAML: pip install 'schedule-grpc[yaml]'. JSON needs nothing: "
    "kubectl get cronjob --all-namespaces -o json"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where the task file goes, and what all its tasks have."""

    output: Path | None
    overwrite: bool
    as_json: bool
    owner: str
    allow_unknown_handler: bool


def target(
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write [standard output]")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, with the notes on standard error")] = False,
    owner: Annotated[str, typer.Option("--set", help="The set of the file, for tasks apply --prune [the source]")] = "",
    allow_unknown_handler: Annotated[
        bool, typer.Option("--allow-unknown-handler", help="Let tasks apply take a handler that nothing offers yet")
    ] = False,
) -> Target:
    """Return where the task file goes."""
    return Target(
        output=output,
        overwrite=overwrite,
        as_json=as_json,
        owner=owner,
        allow_unknown_handler=allow_unknown_handler,
    )


Source = Annotated[str, typer.Argument(help="File to read; - reads standard input", metavar="FILE|-")]
Printed = Annotated[
    str,
    typer.Argument(help="JSON that the snippet printed; - reads standard input", metavar="FILE|-", show_default=False),
]
Handler = Annotated[str, typer.Option(help="Handler of all tasks")]
Zone = Annotated[str, typer.Option(help="IANA time zone of what names none [UTC]", autocompletion=zones)]
Snippet = Annotated[bool, typer.Option("--snippet", help="Print the Python file that prints the JSON, and exit")]


@app.command()
@takes(target=target)
def crontab(
    file: Source,
    *,
    handler: Handler = "run-command",
    zone: Zone = "",
    system: Annotated[
        bool, typer.Option("--system", help="The sixth column is a user [in /etc/crontab and /etc/cron.d it is]")
    ] = False,
    target: Target,
) -> None:
    """Write a task file from a crontab: crontab -l | schedule-grpc import crontab -."""

    def read(text: str, _now: "datetime") -> "Imported":
        from schedule_grpc.formats.imported.crontab import read_crontab

        users = system or file == _SYSTEM or file.startswith(_SYSTEM_FOLDER)
        return read_crontab(text, handler=handler, time_zone=zone, system=users)

    _import(file, read, target, "crontab", zone=zone)


@app.command()
@takes(target=target)
def apscheduler(file: Printed = "", *, handler: Handler = "", snippet: Snippet = False, target: Target) -> None:
    """Write a task file from the jobs of APScheduler 3. Your program prints them as JSON: see --snippet."""
    if snippet:
        _print_snippet("apscheduler_jobs")

    def read(text: str, now: "datetime") -> "Imported":
        from schedule_grpc.domain.json_input import parsed
        from schedule_grpc.formats.imported.apscheduler import read_apscheduler
        from schedule_grpc.formats.imported.values import bounded

        return read_apscheduler(bounded(parsed(text)), handler=handler, now=now)

    _import(file, read, target, "apscheduler")


@app.command()
@takes(target=target)
def celery_beat(file: Printed = "", *, handler: Handler = "", snippet: Snippet = False, target: Target) -> None:
    """Write a task file from the schedule of Celery beat. Your program prints it as JSON: see --snippet."""
    if snippet:
        _print_snippet("celery_beat")

    def read(text: str, now: "datetime") -> "Imported":
        from schedule_grpc.domain.json_input import parsed
        from schedule_grpc.formats.imported.celery_beat import read_celery_beat
        from schedule_grpc.formats.imported.values import bounded

        return read_celery_beat(bounded(parsed(text)), handler=handler, now=now)

    _import(file, read, target, "celery-beat")


@app.command()
@takes(target=target)
def k8s_cronjob(file: Source, *, handler: Handler = "run-container", zone: Zone = "", target: Target) -> None:
    """Write a task file from CronJobs: manifests in YAML, or what kubectl get cronjob -o json prints."""

    def read(text: str, now: "datetime") -> "Imported":
        from schedule_grpc.formats.imported.k8s_cronjob import read_k8s_cronjobs

        return read_k8s_cronjobs(_manifests(text), handler=handler, time_zone=zone, now=now)

    _import(file, read, target, "k8s-cronjob", zone=zone)


def _manifests(text: str) -> "list[tuple[str, object]]":
    """Return the documents of a file in JSON or in YAML, each with its place."""
    from schedule_grpc.formats.imported.values import bounded

    if text.lstrip().startswith("{"):
        from schedule_grpc.domain.json_input import parsed

        return [("", bounded(parsed(text)))]
    try:
        from schedule_grpc.formats.imported.yaml_documents import yaml_documents
    except ModuleNotFoundError:
        fail(_NO_YAML, code=USAGE)
    return list(yaml_documents(text))


def _print_snippet(name: str) -> NoReturn:
    from importlib.resources import files

    print(files("schedule_grpc.cli.snippets").joinpath(f"{name}.py").read_text("utf-8"), end="")
    raise typer.Exit


def _import(
    file: str, read: "Callable[[str, datetime], Imported]", target: Target, program: str, *, zone: str = ""
) -> None:
    from schedule_grpc.formats.imported.written import json_text, toml_text, without_nulls
    from schedule_grpc.runtime.clock import SystemClock

    name = "standard input" if file == "-" else file
    if not file:
        raise typer.BadParameter("name a file, or - for standard input; --snippet prints what makes it")
    _check(zone)
    try:
        found = read(_text(file), SystemClock().now())
    except OSError as error:
        fail(f"{name}: {error.strerror}", code=USAGE)
    except ValueError as error:
        fail(f"{name}: {error}", code=USAGE)
    owner = target.owner or program
    if target.as_json:
        written = json_text(found, owner=owner, allow_unknown_handler=target.allow_unknown_handler)
        for note in _all_notes(found):
            warn(f"{name}: {note}")
    else:
        found = without_nulls(found)
        title = (
            f"Imported from {name} by schedule-grpc import {program}. Look at it, then: tasks apply --dry-run -f FILE"
        )
        written = toml_text(found, title=title, owner=owner, allow_unknown_handler=target.allow_unknown_handler)
    _write(written, target)
    for each in found.left:
        warn(f"{name}: {each.place}: not imported: {each.reason}")
    noted = sum(bool(task.notes) for task in found.tasks)
    warn(f"{_count(len(found.tasks), 'task')}, {noted} with notes; {len(found.left)} not imported")
    if found.left and not found.tasks:
        raise SystemExit(FAILED)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _check(zone: str) -> None:
    from schedule_grpc.domain.schedule import parse
    from schedule_grpc.errors import InvalidSchedule

    try:
        parse("@daily", zone or "UTC")
    except InvalidSchedule as error:
        raise typer.BadParameter(error.reason, param_hint="--zone") from None


def _text(file: str) -> str:
    """Return the text of a file.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is too large, or not UTF-8.
    """
    from schedule_grpc.domain.json_input import text_of
    from schedule_grpc.formats.imported.values import MAX_BYTES, NotReadable

    if file == "-":
        content = sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        with Path(file).open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise NotReadable(f"is larger than {MAX_BYTES // 1024} KiB, the most that is read")
    try:
        return text_of(content)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise NotReadable("is not UTF-8", place=f"line {line}") from None


def _all_notes(found: "Imported") -> list[str]:
    return [*found.notes, *(f"{task.place}: {task.name}: {note}" for task in found.tasks for note in task.notes)]


def _write(text: str, target: Target) -> None:
    """Write the file; one that is there is replaced only where the caller asked for it."""
    if target.output is None:
        print(text, end="")
        return
    try:
        with target.output.open("w" if target.overwrite else "x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        fail(f"{target.output} is there; --overwrite replaces it", code=USAGE)
    except OSError as error:
        fail(f"{target.output}: {error.strerror}", code=FAILED)
