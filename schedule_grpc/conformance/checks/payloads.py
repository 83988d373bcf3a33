"""Payloads come to handlers, and results to the server, as they are."""

import json
from typing import Any

from schedule_grpc.conformance.check import Broken, check, expect
from schedule_grpc.conformance.handlers import UNICODE
from schedule_grpc.conformance.stage import SOON, Stage
from schedule_grpc.conformance.tape import PULL, Seen, Told

PAYLOAD_BYTES = 64 * 1024 - 64
"""The longest payload that there is, and spaces that a worker may write into its result."""
MAX_OUTCOME_BYTES = 1024 * 1024
DEEP = 12
"""Objects in lists, one in the other: JSON of the service is at most 32 levels deep."""
SHOWN = 80
"""Characters of a result that a failed check shows."""


async def _echoed(stage: Stage, payload: dict[str, Any]) -> None:
    """Hold the worker to return exactly this payload.

    The payload is put into the assignment: the text is the kit's own then, whatever a server would have made of it.
    """
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))

    def replace(seen: Seen) -> None:
        if seen.method == PULL:
            for assignment in seen.answer.assignments:
                if assignment.handler == "conformance.echo":
                    assignment.payload_json = text

    with stage.middle.trick(after=replace):
        told = await stage.outcome(await stage.run("echo"))
    expect(told.end == "succeeded", f"it is reported as {told.end}: {told.outcome.failed.error}")
    result = _result(told)
    expect(_same(result, payload), f"the result is {json.dumps(result)[:SHOWN]}, not {text[:SHOWN]}")


def _result(told: Told) -> Any:
    try:
        return json.loads(told.outcome.succeeded.result_json or "null")
    except ValueError as error:
        raise Broken(f"the result is not JSON: {error}") from error


def _same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal, with `1` and `1.0` and `true` all different."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@check("echo-nested", "W9", "a nested payload comes back")
async def echo_nested(stage: Stage) -> None:
    """Objects in lists in objects, with every kind of JSON value."""
    deep: Any = "bottom"
    for _ in range(DEEP):
        deep = {"in": [deep]}
    values = {"null": None, "yes": True, "no": False, "one": 1, "half": 0.5, "text": "a", "list": [[], {}, [None]]}
    await _echoed(stage, {"values": values, "deep": deep})


@check("echo-empty", "W9", "an empty payload comes back as an empty object")
async def echo_empty(stage: Stage) -> None:
    """Not as null, and not as nothing."""
    await _echoed(stage, {})


@check("echo-64k", "W9", "the longest payload comes back")
async def echo_long(stage: Stage) -> None:
    """64 KiB of JSON, nearly."""
    frame = len(json.dumps({"text": ""}, separators=(",", ":")))
    await _echoed(stage, {"text": "x" * (PAYLOAD_BYTES - frame)})


@check("echo-unicode", "W9", "characters of every plane come back, in keys and in values")
async def echo_unicode(stage: Stage) -> None:
    """With combining marks, right-to-left text, LINE SEPARATOR and the last code point."""
    await _echoed(stage, {"Grüße 世界": "e\u0301 שלום 🌍👩‍👩‍👧 \u2028\u2029\ufeff \U0010ffff", '\\"\t\n': "\u007f/"})


@check("echo-nul", "W9", "NUL comes back")
async def echo_nul(stage: Stage) -> None:
    """A string may hold it, and is not over there."""
    await _echoed(stage, {"text": "before\0after", "\0": "\x01\x1f"})


@check("echo-integers", "W9", "2^53 + 1 comes back", must=False)
async def echo_integers(stage: Stage) -> None:
    """Where a language's numbers are doubles, this takes a JSON parser of another kind."""
    await _echoed(stage, {"number": 2**53 + 1, "negative": -(2**63)})


@check("unicode-result", "W9", "a text of the handler's own program comes back")
async def unicode_result(stage: Stage) -> None:
    """Its source and its output have the same encoding."""
    told = await stage.outcome(await stage.run("unicode"))
    result = _result(told)
    expect(_same(result, {"text": UNICODE}), f"the result is {json.dumps(result)[:SHOWN]}")


@check("big-result", "W9", "a result of 1 MiB is cut, or fails in words, once")
async def big_result(stage: Stage) -> None:
    """The report is one that the server takes, and the worker goes on."""
    execution_id = await stage.run("big", bytes=MAX_OUTCOME_BYTES)
    execution = await stage.ended(execution_id)
    words = execution.error or execution.result
    expect(words, "it ended with neither a result nor an error")
    expect(execution.attempt == 1, f"it took {execution.attempt} attempts")
    largest = max(told.seen.request.ByteSize() for told in stage.tape.outcomes(execution_id))
    expect(largest <= MAX_OUTCOME_BYTES, f"a Report of {largest} bytes was sent, at most {MAX_OUTCOME_BYTES} are right")
    stage.ran_once(execution_id)
    await stage.echoes(within=SOON)
