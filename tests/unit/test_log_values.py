"""Whatever a handler logs is one line of bounded size, in JSON as for people; the log call never raises."""

import io
import json
import logging
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from enum import IntEnum, StrEnum
from typing import Any

import pytest
import structlog
from support.patience import AT_MOST

from schedule_grpc.log.values import CUT, MAX_CHARACTERS, MAX_TEXT, presentable

LINE = 7 * MAX_CHARACTERS
"""More than any line has: JSON escapes a character with six."""


class Unspeakable(Exception):
    """Cannot be shown in any way."""

    def __repr__(self) -> str:
        raise SystemExit(1)

    __str__ = __repr__


class Hostile(Mapping[str, Any]):
    """A mapping that raises when it is read."""

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        raise KeyboardInterrupt

    def __len__(self) -> int:
        return 1


class Level(IntEnum):
    """A number with a name."""

    HIGH = 3


class Sly(int):
    """A number that lies about itself."""

    def __repr__(self) -> str:
        raise ValueError


class Colour(StrEnum):
    """A text with a name."""

    RED = "red"


def itself() -> list[Any]:
    """Return a list within itself, many times."""
    loop: list[Any] = []
    loop.extend([loop] * 100)
    return loop


def nested(depth: int) -> list[Any]:
    """Return lists within lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


RENDERERS = {
    "json": structlog.processors.JSONRenderer,
    "console": lambda: structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
}


def written(render: str, *bound: Mapping[str, Any], event: Any = "x", exc_info: Any = None, **fields: Any) -> str:
    """Log a line as `log.configure` lets it be written; return it."""
    out = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.WriteLogger(out),
        processors=[structlog.stdlib.add_log_level, presentable, RENDERERS[render]()],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        context_class=dict,
    )
    logger.info(event, **fields, **({} if exc_info is None else {"exc_info": exc_info}))
    return out.getvalue()


ODD: dict[str, tuple[Any, Any]] = {
    "tuple keys": ({(1, 2): 3}, {"(1, 2)": 3}),
    "keys of all kinds": ({1: 1, None: 2, 1.5: 3, b"b": 4}, {"1": 1, "None": 2, "1.5": 3, "b'b'": 4}),
    "a huge integer": (10**5000, "an integer of 16610 bits"),
    "a huge negative one": ([-(10**5000)], ["an integer of 16610 bits"]),
    "a large integer": (2**200, 2**200),
    "nan": ([math.nan, math.inf, -math.inf], ["nan", "inf", "-inf"]),
    "a set": ({7}, [7]),
    "bytes": (b"\xff", "b'\\xff'"),
    "an instant": (datetime(2026, 1, 31, 10, tzinfo=UTC), "2026-01-31T10:00:00+00:00"),
    "a date": (date(2026, 1, 31), "2026-01-31"),
    "a repr that raises": (Unspeakable(), "Unspeakable (its repr raised SystemExit)"),
    "such a key": ({Unspeakable(): 1}, {"Unspeakable (its repr raised SystemExit)": 1}),
    "a mapping that raises": (Hostile(), "Hostile (reading it raised KeyboardInterrupt)"),
    "enums": ([Level.HIGH, Colour.RED], [3, "red"]),
    "a number that lies": (Sly(5), 5),
    "a lone surrogate": ({"\udcff": "\udcff"}, {"\ufffd": "\ufffd"}),
    "plain values": ([None, True, 1.5, "é", {"a": []}], [None, True, 1.5, "é", {"a": []}]),
}


@pytest.mark.parametrize(("value", "shown"), ODD.values(), ids=ODD)
def test_an_odd_value_is_one_that_json_knows(value, shown):
    """In a field, in a field that was bound, and as the event itself."""
    assert json.loads(written("json", value=value)) == {"event": "x", "level": "info", "value": shown}
    assert json.loads(written("json", event=value))["event"] == shown


@pytest.mark.parametrize("value", [value for value, _ in ODD.values()], ids=ODD)
def test_it_can_be_shown_to_people(value):
    """Without an exception either; the line has its event."""
    assert "x" in written("console", value=value)


@pytest.mark.parametrize("render", RENDERERS)
@pytest.mark.parametrize(
    "value",
    [
        "x" * 1_000_000,
        ["x" * 1000] * 10_000,
        {f"key {number}": number for number in range(100_000)},
        {"k" * 1_000_000: 1},
        list(range(1_000_000)),
        b"x" * 1_000_000,
        set(range(100_000)),
        itself(),
        nested(10_000),
        ["\ud800" * 1000] * 1000,
    ],
    ids=["text", "texts", "keys", "key", "numbers", "bytes", "set", "itself", "nested", "surrogates"],
)
def test_a_line_is_bounded(render: str, value):
    """Whatever is logged; what is cut is marked, and the event's name, which comes after the fields, is there."""
    line = written(render, event="rows.read", value=value)
    assert len(line) < LINE
    assert "rows.read" in line
    assert CUT in line or "\\u2026" in line


@pytest.mark.parametrize("render", RENDERERS)
def test_many_fields_are_bounded_together(render: str):
    """A thousand texts that are long, and names that are."""
    line = written(render, **{f"field {number} {'x' * 300}": "x" * 1000 for number in range(2000)})
    assert len(line) < MAX_CHARACTERS + 1000 * 200


@pytest.mark.parametrize("render", RENDERERS)
@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (ValueError("bad"), "ValueError: bad"),
        ((ValueError, ValueError("bad"), None), "ValueError: bad"),
        (Unspeakable(), "Unspeakable"),
        ((1, 2, 3), "x"),
        ((Unspeakable, 2, 3), "x"),
        (ValueError("x" * 1_000_000), "ValueError: xxx"),
        (ExceptionGroup("many", [ValueError("bad")] * 2000), "ExceptionGroup: many"),
    ],
    ids=["error", "triple", "unspeakable", "nonsense", "more nonsense", "long", "group"],
)
def test_a_traceback_is_bounded_and_never_raises(render: str, raised, told: str):
    """Nor does what is given in its place."""
    line = written(render, exc_info=raised)
    assert told in line
    assert len(line) < MAX_TEXT * 2


def test_a_long_traceback_keeps_both_its_ends():
    """The error stands at its end, the first call at its beginning."""
    error = ValueError("the end")
    error.__cause__ = ValueError("the beginning")
    error.add_note("x" * MAX_CHARACTERS)
    error.add_note("the very end")
    told = json.loads(written("json", exc_info=error))["exception"]
    assert told.startswith("ValueError: the beginning")
    assert told.endswith("the very end")
    assert len(told) < MAX_TEXT


@pytest.mark.parametrize("render", RENDERERS)
def test_lines_of_other_loggers_are_too(render: str):
    """Of handlers that use the standard library's logging, and of libraries."""
    out = io.StringIO()
    foreign = logging.StreamHandler(out)
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    foreign.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[strip, presentable, RENDERERS[render]()]))
    logger = logging.Logger("theirs")  # noqa: LOG001 (one of its own, which no other test hears)
    logger.addHandler(foreign)
    logger.info("%s \udcff %s", "x" * 1_000_000, {(1, 2): 3})
    assert MAX_TEXT < len(out.getvalue()) < LINE


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_server_logs_so(style: str):
    """In a process of its own, as `serve` sets logging up, for structlog's loggers and the standard library's."""
    program = (
        "import logging, structlog; from schedule_grpc.log import set_up as log;"
        f"log.configure(style={style!r}, level='info');"
        "structlog.get_logger().info('ours', value={(1, 2): 10**5000});"
        "logging.getLogger('theirs').info('theirs %s', {(1, 2): 3})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=AT_MOST, check=True)
    ours, theirs = done.stderr.splitlines()
    assert "an integer of 16610 bits" in ours
    assert "theirs {(1, 2): 3}" in theirs
