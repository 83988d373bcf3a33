"""``schedule-grpc worker-check``: proves that a worker keeps the rules of the workers' protocol."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schedule_grpc.conformance.check import Check

STANDARD_OUTPUT = "-"


def worker_check(
    command: Annotated[
        list[str] | None, typer.Argument(help="Starts the worker under test; write -- before it", metavar="COMMAND...")
    ] = None,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Only checks that wait for no lease to lapse")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Only checks whose id matches a pattern; repeatable")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the checks, and start nothing")] = False,
    json: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the results as JSON, too; -: to standard output, not TAP")
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep logs and journals in this new folder")] = None,
) -> None:
    """Check that a worker, in any language, keeps the rules of the protocol (docs/worker-conformance.md).

    Exit codes: 0 every check that counts passed · 1 one failed · 2 usage.
    """
    import asyncio
    import os

    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # before gRPC is loaded: this starts processes
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC writes a line for each connection that a check cuts

    from schedule_grpc.cli.exits import FAILED, INTERRUPTED, USAGE, fail
    from schedule_grpc.conformance.program import CannotRun
    from schedule_grpc.conformance.runner import chosen
    from schedule_grpc.conformance.server import CannotServe

    wanted = chosen(only or (), quick=quick)
    if not wanted:
        fail(f"no check matches {', '.join(only or ())}; --list shows them all", code=USAGE)
    if listed:
        _print_list(wanted, as_json=json == STANDARD_OUTPUT)
        return
    if not command:
        fail("name the command that starts the worker: worker-check -- COMMAND ...", code=USAGE)
    if keep is not None and keep.exists():
        fail(f"{keep} exists already: --keep names a new folder", code=USAGE)
    try:
        conforms = asyncio.run(_run(command, wanted, json=json, keep=keep))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except CannotServe as error:
        fail(str(error), code=FAILED)
    except ExceptionGroup as errors:  # each stage meets it
        troubles, others = errors.split((CannotRun, CannotServe))
        if others is not None or troubles is None:
            raise
        fail(str(troubles.exceptions[0]), code=FAILED)
    if not conforms:
        raise SystemExit(FAILED)


async def _run(command: "Sequence[str]", wanted: "Sequence[Check]", *, json: str | None, keep: Path | None) -> bool:
    """Run checks, print their results as they come, and return whether the worker conforms."""
    from schedule_grpc.conformance import report, runner

    shows_tap = json != STANDARD_OUTPUT
    if shows_tap:
        print(*report.tap_head(len(wanted)), sep="\n", flush=True)
    found = []
    async for result in runner.results(command, wanted, keep):
        found.append(result)
        if shows_tap:
            print(*report.tap_lines(len(found), result), sep="\n", flush=True)
    if json is not None:
        text = _text_of(report.as_json(command, found))
        if shows_tap:
            Path(json).write_text(text)  # noqa: ASYNC240 (the last thing that this does)
        else:
            print(text, end="")
    return report.conforms(found)


def _print_list(wanted: "Sequence[Check]", *, as_json: bool) -> None:
    from schedule_grpc.conformance import report

    if as_json:
        print(_text_of([report.described(each) for each in wanted]), end="")
        return
    for each in wanted:
        marks = ("" if each.must else " [SHOULD]") + ("" if each.quick else " [slow]")
        print(f"{each.rule:4} {each.id:25} {each.title}{marks}")


def _text_of(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
