"""Results for people and programs: TAP version 14, and JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

from schedule_grpc.conformance.check import RULES, Check
from schedule_grpc.conformance.runner import Result
from schedule_grpc.text.unicode import readable

SHOULD = " # TODO SHOULD"
"""TAP's directive for what fails and does not count."""


def tap_head(count: int) -> Iterator[str]:
    """Yield the lines before the first result."""
    yield "TAP version 14"
    yield f"1..{count}"


def tap_lines(number: int, result: Result) -> Iterator[str]:
    """Yield the lines of a result."""
    each = result.check
    verdict = "ok" if result.passed else "not ok"
    directive = "" if result.passed or each.must else SHOULD
    yield f"{verdict} {number} - {_escaped(f'{each.id}: {each.title} ({each.rule})')}{directive}"
    if result.broken:
        yield "  ---"
        yield f"  message: {_quoted(result.broken)}"
        yield f"  seconds: {result.seconds:.1f}"
        if result.output.strip():
            yield "  output: |"
            for line in readable(result.output).splitlines():
                yield f"    {line}"
        yield "  ..."


def as_json(command: Sequence[str], found: Sequence[Result]) -> dict[str, Any]:
    """Return the results as JSON."""
    return {
        "command": list(command),
        "conforms": conforms(found),
        "checks": [
            {
                **described(each.check),
                "passed": each.passed,
                "message": readable(each.broken),
                "output": readable(each.output),
                "seconds": round(each.seconds, 3),
            }
            for each in found
        ],
    }


def described(each: Check) -> dict[str, Any]:
    """Return a check's own facts as JSON."""
    return {
        "id": each.id,
        "rule": each.rule,
        "rule_text": RULES[each.rule],
        "title": each.title,
        "must": each.must,
        "quick": each.quick,
    }


def conforms(found: Sequence[Result]) -> bool:
    """Return whether every check that a worker must pass has passed."""
    return all(each.passed for each in found if each.check.must)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("#", "\\#")


def _quoted(text: str) -> str:
    """Return a text as a YAML string in single quotes, on one line."""
    return "'" + " ".join(readable(text).split()).replace("'", "''") + "'"
