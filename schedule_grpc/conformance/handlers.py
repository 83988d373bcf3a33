"""The handlers that the kit drives, in Python: `schedule-grpc worker schedule_grpc.conformance.handlers`.

docs/worker-conformance.md says what each of them does, for authors in other languages.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from schedule_grpc.handlers import PermanentFailure, TaskContext, handler
from schedule_grpc.runtime.clock import SystemClock

JOURNAL = "CONFORMANCE_JOURNAL"
"""The variable that names the file to which handlers append what they do."""
UNICODE = "Grüße, 世界, 🌍, \0 and \u2028"
_CLOCK = SystemClock()


class FailedAsAsked(Exception):
    """The ordinary error of `conformance.fail`."""


@handler("conformance.echo", description="Returns its payload")
async def echo(ctx: TaskContext) -> Any:
    """Return the payload, unchanged."""
    with _noted(ctx):
        return dict(ctx.payload)


@handler("conformance.fail", description="Fails with the payload's text")
async def fail(ctx: TaskContext) -> None:
    """Fail, so that a retry may help."""
    with _noted(ctx):
        raise FailedAsAsked(ctx.payload["text"])


@handler("conformance.reject", description="Fails permanently with the payload's text")
async def reject(ctx: TaskContext) -> None:
    """Fail, so that no retry can help."""
    with _noted(ctx):
        raise PermanentFailure(ctx.payload["text"])


@handler("conformance.soft_fail", description="Returns success: false")
async def soft_fail(ctx: TaskContext) -> dict[str, Any]:
    """Return a result that says that the work failed."""
    with _noted(ctx):
        return {"success": False, "error": ctx.payload["text"]}


@handler("conformance.sleep", description="Waits, and stops when it is asked to")
async def sleep(ctx: TaskContext) -> dict[str, Any]:
    """Wait so many seconds."""
    with _noted(ctx):
        try:
            await _wait(ctx.payload["seconds"])
        except asyncio.CancelledError:
            _note("stopped", ctx)
            raise
        return {"slept": ctx.payload["seconds"]}


@handler("conformance.deaf", description="Waits, whatever it is asked")
async def deaf(ctx: TaskContext) -> dict[str, Any]:
    """Wait so many seconds; a request to stop is noted and not obeyed."""
    until = _CLOCK.monotonic() + ctx.payload["seconds"]
    with _noted(ctx):
        while (left := until - _CLOCK.monotonic()) > 0:
            try:
                await _wait(left)
            except asyncio.CancelledError:
                _note("stopped", ctx)
        return {"slept": ctx.payload["seconds"]}


@handler("conformance.log", description="Logs lines")
async def log(ctx: TaskContext) -> dict[str, Any]:
    """Log numbered lines, without a wait between them."""
    with _noted(ctx):
        lines, text = ctx.payload["lines"], ctx.payload["text"]
        for number in range(1, int(lines) + 1):
            line = f"{number} {text}"
            ctx.log.info(line)
        return {"logged": lines}


@handler("conformance.progress", description="Reports progress step by step")
async def progress(ctx: TaskContext) -> dict[str, Any]:
    """Report progress after each step."""
    with _noted(ctx):
        steps = int(ctx.payload["steps"])
        for step in range(1, steps + 1):
            await _wait(ctx.payload["seconds"] / steps)
            ctx.progress(step / steps, f"step {step} of {steps}")
        return {"steps": steps}


@handler("conformance.big", description="Returns a result of so many bytes")
async def big(ctx: TaskContext) -> dict[str, Any]:
    """Return a long text."""
    with _noted(ctx):
        return {"text": "x" * int(ctx.payload["bytes"])}


@handler("conformance.unicode", description="Returns characters of many kinds")
async def unicode(ctx: TaskContext) -> dict[str, Any]:
    """Return a text that this program holds."""
    with _noted(ctx):
        return {"text": UNICODE}


@handler("conformance.exit", description="Ends the process")
async def leave(ctx: TaskContext) -> None:
    """End the process at once, without a report."""
    _note("begin", ctx)
    os._exit(int(ctx.payload["code"]))


@contextmanager
def _noted(ctx: TaskContext) -> Iterator[None]:
    """Note the begin and the end of a handler."""
    _note("begin", ctx)
    try:
        yield
    finally:
        _note("end", ctx)


def _note(event: str, ctx: TaskContext) -> None:
    """Append a line to the journal, if there is one: one write, so that lines of several threads stay whole."""
    path = os.environ.get(JOURNAL)
    if path is not None:
        with Path(path).open("a") as journal:
            journal.write(f"{event} {ctx.execution_id} {ctx.attempt}\n")


async def _wait(seconds: float) -> None:
    """Return after this number of seconds."""
    over = asyncio.Event()
    alarm = _CLOCK.call_later(seconds, over.set)
    try:
        await over.wait()
    finally:
        alarm.cancel()
