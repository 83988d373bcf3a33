"""A line's text made quickly is, byte for byte, what structlog's processors make of it."""

import io
import math
from collections.abc import Callable
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any

import pytest
import structlog

from schedule_grpc.log.text import MAX_PLAIN_FIELDS, MAX_PLAIN_TEXT, Texts, plain_json
from schedule_grpc.log.values import MAX_NAME, presentable
from schedule_grpc.text.terminal import plain_line, plain_traceback


class Colour(StrEnum):
    """A text with a name."""

    RED = "red"


class Level(IntEnum):
    """A number with a name."""

    HIGH = 3


class Shouted(str):
    """A text that shows itself otherwise."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


def at_ten(_: Any, _method: str, line: Any) -> Any:
    """Say the same time in every line, where `log.configure` has a TimeStamper."""
    line["timestamp"] = "2026-01-31T10:00:00.123456Z"
    return line


BEGIN = [structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level, at_ten]
STYLES: dict[str, Callable[[], list[Any]]] = {
    "json": lambda: [presentable, structlog.processors.JSONRenderer()],
    "console": lambda: [
        presentable,
        plain_line,
        structlog.dev.ConsoleRenderer(colors=True, exception_formatter=plain_traceback),
    ],
}

PLAIN: dict[str, dict[str, Any]] = {
    "no field": {},
    "an execution": {
        "execution": "01J",
        "task": "nightly",
        "state": "SUCCEEDED",
        "attempt": 1,
        "duration_ms": None,
    },
    "fields that come first, last": {"z": 1, "a": 2, "task": "t", "execution": "e"},
    "fields of the logger's": {"level": "loud", "timestamp": "never"},
    "quotes and lines": {"error": 'a "b" \\ \n\t\r\x00\x1b[2J\x7f/'},
    "Unicode": {"error": "é 日本 🎉 \u2028 \u202e \ufffd"},
    "lone surrogates": {"error": "a \udcff b \ud800"},
    "empty": {"error": ""},
    "braces": {"error": "{0} {} %s", "a{0}b": 1, "%s": 2},
    "truths": {"yes": True, "no": False, "none": None},
    "integers": {"zero": 0, "negative": -(2**63), "large": 2**256 - 1},
    "numbers": {"half": 0.5, "small": 1e-300, "large": 1e300, "negative": -0.0, "third": 1 / 3},
    "a long text": {"error": "x" * MAX_PLAIN_TEXT},
    "a long name": {"n" * MAX_NAME: 1},
    "many fields": {f"field {number}": number for number in range(MAX_PLAIN_FIELDS - 3)},
}
OTHER: dict[str, dict[str, Any]] = {
    "a longer text": {"error": "x" * (MAX_PLAIN_TEXT + 1)},
    "a text that is cut": {"error": "x" * 100_000},
    "a name that is cut": {"n" * (MAX_NAME + 1): 1},
    "a name of another alphabet": {"größe": 1},
    "more fields": {f"field {number}": number for number in range(MAX_PLAIN_FIELDS - 2)},
    "an integer that is described": {"count": 2**256},
    "no number": {"a": math.nan, "b": math.inf, "c": -math.inf},
    "enums": {"colour": Colour.RED, "level": Level.HIGH},
    "a text of another kind": {"text": Shouted("quiet")},
    "lists and objects": {"items": [1, {"a": (2, None)}], "set": {7}},
    "an instant": {"when": datetime(2026, 1, 31, 10, tzinfo=UTC)},
    "an error": {"exc_info": ValueError("bad")},
    "no error": {"exc_info": None},
}


def by_structlog(style: str, level: str, event: Any, fields: dict[str, Any]) -> str:
    """Return what structlog writes of a log call."""
    out = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.WriteLogger(out),
        processors=[*BEGIN, *STYLES[style]()],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        context_class=dict,
    )
    getattr(logger, level)(event, **fields)
    return out.getvalue()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("bound", [{}, {"execution": "bound", "request": "r-1", "level": "bound"}], ids=["", "bound"])
@pytest.mark.parametrize("fields", [*PLAIN.values(), *OTHER.values()], ids=[*PLAIN, *OTHER])
def test_it_is_what_structlog_writes(style: str, bound: dict[str, Any], fields: dict[str, Any]):
    """Of a batch, whatever the context has bound."""
    texts = Texts(BEGIN, STYLES[style](), plain=style == "json")
    with structlog.contextvars.bound_contextvars(**bound):
        expected = [by_structlog(style, level, "execution.recorded", fields) for level in ("info", "warning")]
        batch = texts.together([(level, "execution.recorded", fields) for level in ("info", "warning")])
    assert [f"{text}\n" for text in batch] == expected


@pytest.mark.parametrize("event", ["x y", "\udcff \x1b", Colour.RED, 3, None, "x" * 100_000], ids=repr)
@pytest.mark.parametrize("style", STYLES)
def test_an_event_may_be_anything(style: str, event: Any):
    """A handler's first argument."""
    logged = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.WriteLogger(logged),
        processors=[*BEGIN, Texts(BEGIN, STYLES[style](), plain=style == "json")],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        context_class=dict,
    )
    logger.error(event, task="t")
    assert logged.getvalue() == by_structlog(style, "error", event, {"task": "t"})


@pytest.mark.parametrize("fields", PLAIN.values(), ids=PLAIN)
def test_a_plain_line_is_made_without_processors(fields: dict[str, Any]):
    """Or nothing would be gained."""
    assert plain_json({**fields, "event": "e", "level": "info", "timestamp": "t"}) is not None


@pytest.mark.parametrize("fields", OTHER.values(), ids=OTHER)
def test_a_line_that_needs_care_is_left_to_the_processors(fields: dict[str, Any]):
    """Bounds, strangers' classes and exceptions are theirs."""
    assert plain_json({**fields, "event": "e", "level": "info", "timestamp": "t"}) is None
