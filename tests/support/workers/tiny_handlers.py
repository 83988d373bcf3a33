"""The kit's handlers for the small worker: each takes the attempt, and the name of the rule to break."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any


class Rejected(Exception):
    """A failure that no retry can mend."""


def note(event: str, mine: Any) -> None:
    """Append a line to the journal."""
    with Path(os.environ["CONFORMANCE_JOURNAL"]).open("a") as journal:
        journal.write(f"{event} {mine.assignment.execution_id} {mine.assignment.attempt}\n")


def payload(mine: Any, breaks: str) -> dict[str, Any]:
    """Return the payload."""
    text = mine.assignment.payload_json
    if breaks == "is-ascii":
        text = text.encode("ascii", "replace").decode()
    if breaks == "ends-at-nul":
        text = text.replace("\\u0000", "")
    if breaks == "has-doubles":
        return dict(json.loads(text, parse_int=float))
    return dict(json.loads(text)) if breaks != "cuts-payloads" or len(text) < 10_000 else {}


async def echo(mine: Any, breaks: str) -> Any:
    """Return the payload."""
    found = payload(mine, breaks)
    if breaks == "has-no-empty-object":
        return found or None
    return {key: str(value) for key, value in found.items()} if breaks == "flattens" else found


async def fail(mine: Any, breaks: str) -> None:
    """Raise."""
    raise ValueError(payload(mine, breaks)["text"])


async def reject(mine: Any, breaks: str) -> None:
    """Raise, permanently."""
    raise Rejected(payload(mine, breaks)["text"])


async def soft_fail(mine: Any, breaks: str) -> Any:
    """Return a failure."""
    return {"success": False, "error": payload(mine, breaks)["text"]}


async def sleep(mine: Any, breaks: str) -> Any:
    """Wait, and stop when asked."""
    seconds = payload(mine, breaks)["seconds"]
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        note("stopped", mine)
        raise
    return {"slept": seconds}


async def deaf(mine: Any, breaks: str) -> Any:
    """Wait, whatever is asked."""
    seconds = payload(mine, breaks)["seconds"]
    until = asyncio.get_running_loop().time() + seconds
    while (left := until - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            note("stopped", mine)
    return {"slept": seconds}


async def log(mine: Any, breaks: str) -> Any:
    """Log lines."""
    given = payload(mine, breaks)
    for number in range(1, given["lines"] + 1):
        mine.log(f"{number} {given['text']}")
    return {"logged": given["lines"]}


async def progress(mine: Any, breaks: str) -> Any:
    """Report progress."""
    given = payload(mine, breaks)
    for step in range(1, given["steps"] + 1):
        await asyncio.sleep(given["seconds"] / given["steps"])
        if breaks != "hides-progress":
            mine.progress = (step / given["steps"], f"step {step} of {given['steps']}")
    return {"steps": given["steps"]}


async def big(mine: Any, breaks: str) -> Any:
    """Return much."""
    return {"text": "x" * payload(mine, breaks)["bytes"]}


async def unicode(mine: Any, breaks: str) -> Any:
    """Return a text of this program."""
    text = "Grüße, 世界, 🌍, \0 and \u2028"
    return {"text": text.encode("ascii", "replace").decode() if breaks == "is-ascii" else text}


async def leave(mine: Any, breaks: str) -> None:
    """End the process."""
    code = payload(mine, breaks)["code"]
    if breaks == "survives":
        raise SystemError(code)
    os._exit(code)


def noted(function: Any) -> Any:
    """Return a handler that notes its begin and its end."""

    async def run(mine: Any, breaks: str) -> Any:
        note("begin", mine)
        try:
            return await function(mine, breaks)
        finally:
            note("end", mine)

    return run


HANDLERS = {
    each.__name__.replace("leave", "exit"): noted(each)
    for each in (echo, fail, reject, soft_fail, sleep, deaf, log, progress, big, unicode, leave)
}
