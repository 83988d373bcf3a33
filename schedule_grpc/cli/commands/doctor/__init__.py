"""``schedule-grpc doctor``: checks that find out why a task does not run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schedule_grpc.cli.completion import task_names
from schedule_grpc.cli.connection import Caller, connection
from schedule_grpc.cli.exits import FAILED
from schedule_grpc.cli.option_groups import takes
from schedule_grpc.cli.options import ConfigFile, DatabaseUrl
from schedule_grpc.text.terminal import first_line, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schedule_grpc.cli.commands.doctor.check import Check


@takes(call=connection)
def doctor(
    task: Annotated[str, typer.Argument(help="Look at this task too", autocompletion=task_names)] = "",
    *,
    database: DatabaseUrl = None,
    config: ConfigFile = None,
    verify_backup: Annotated[
        Path | None, typer.Option("--verify-backup", help="Look at nothing but this backup: open it, count its rows")
    ] = None,
    call: Caller,
) -> None:
    """Find out why a task does not run.

    Checks configuration, handlers, database, bindings, the server, and a task; exit code 1 if something is wrong. Run
    it where the server runs, in its folder: it reads the same configuration, and asks the server that is configured
    there unless --server names another one. It changes nothing.
    """
    import asyncio

    from schedule_grpc.cli.commands.doctor.check import Verdict
    from schedule_grpc.cli.commands.doctor.checks import examined
    from schedule_grpc.log import set_up as log

    log.configure(style="console", level="error")
    if verify_backup is not None:
        _verify(verify_backup, as_json=call.as_json)
        return
    try:
        checks = asyncio.run(examined(call, task=task, database=database, config=config))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    failed = any(check.verdict is Verdict.FAIL for check in checks)
    if call.as_json:
        from schedule_grpc.cli.print_json import print_json

        print_json({"healthy": not failed, "checks": [check.as_json() for check in checks]})
    else:
        _print(checks)
    if failed:
        raise SystemExit(FAILED)


def _verify(file: "Path", *, as_json: bool) -> None:
    from schedule_grpc import backup
    from schedule_grpc.cli.exits import fail
    from schedule_grpc.cli.print_json import print_json
    from schedule_grpc.errors import ScheduleError

    try:
        found = backup.verify_backup(file)
    except ScheduleError as error:
        fail(error.message, code=FAILED)
    if as_json:
        print_json({"file": str(found.file), "sha256": found.sha256, "tables": dict(found.content.tables)})
        return
    print(plain(f"ok    {found.file}  {found.database}, sha256 {found.sha256}"))
    for table, rows in found.content.tables.items():
        print(first_line(f"      {table}  {rows} rows"))


def _print(checks: "Sequence[Check]") -> None:
    from rich.console import Console
    from rich.text import Text

    styles = {"ok": "green", "warn": "yellow", "FAIL": "bold red"}
    console = Console(soft_wrap=True)
    width = max(len(check.subject) for check in checks)
    for check in checks:
        advice = f" -> {check.advice}" if check.advice else ""
        verdict = Text(f"{check.verdict.value:<4}", styles[check.verdict])
        console.print(verdict + Text(f"  {check.subject:<{width}}  {first_line(check.finding + advice)}"))
