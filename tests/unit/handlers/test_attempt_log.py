"""The lines of one attempt: as the console shows them, numbered, bounded, and never worth an exception."""

import threading
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from support.rigs.rig import START

from schedule_grpc.domain.access.key_text import new_key
from schedule_grpc.domain.execution.log_lines import MAX_LINE_BYTES, LogLine, as_kept
from schedule_grpc.handlers.attempt_log import BURST, MAX_FIELDS, RAISED, RATE, AttemptLog
from schedule_grpc.testing import FakeClock

NAMES = {"execution": "exec_1", "task": "report", "attempt": 1}


class Kept:
    """An attempt's log, and what came out of it."""

    def __init__(self) -> None:
        """Begin without a line."""
        self.lines: list[LogLine] = []
        self.clock = FakeClock(START)
        self.log = AttemptLog(self.lines.append, clock=self.clock)
        self.logger = self.log.logger(**NAMES)

    @property
    def texts(self) -> list[str]:
        """The texts of the lines."""
        return [line.text for line in self.lines]


@pytest.fixture
def kept() -> Kept:
    """A log of an attempt."""
    return Kept()


class Hostile:
    """An object that cannot be shown."""

    def __init__(self, error: type[BaseException]) -> None:
        """Take the error that showing it raises."""
        self._error = error

    def __repr__(self) -> str:
        raise self._error


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "counted"),
        ({"count": 3, "ratio": 0.5, "ok": True, "nothing": None}, "counted count=3 ratio=0.5 ok=True nothing=None"),
        ({"place": "here", "name": "a b", "sum": "a=b"}, "counted place=here name='a b' sum='a=b'"),
        ({"rows": [1, "a"], "by": {"k": (1,)}}, "counted rows=[1, 'a'] by={'k': (1,)}"),
        (NAMES, "counted"),
        ({"task": "another"}, "counted task=another"),
        ({"text": "a\x00b\udcff"}, "counted text=a\ufffdb\ufffd"),
    ],
)
def test_a_line_is_as_on_the_console(kept: Kept, fields: dict[str, Any], text: str):
    """The event, then the fields; the attempt's own names are left out."""
    kept.logger.info("counted", **fields)
    assert kept.lines == [LogLine(1, START, "info", text)]


def test_the_process_logs_as_ever(kept: Kept):
    """With the names on each line; bound fields, and those of the context, are in both."""
    with capture_logs() as logged, structlog.contextvars.bound_contextvars(batch=7):
        kept.logger.bind(step=2).warning("slow", seconds=5)
    assert logged == [{**NAMES, "step": 2, "seconds": 5, "event": "slow", "log_level": "warning"}]
    assert kept.texts == ["slow batch=7 step=2 seconds=5"]


@pytest.mark.parametrize(
    ("method", "level"), [("debug", "debug"), ("info", "info"), ("warning", "warning"), ("critical", "error")]
)
def test_levels(kept: Kept, method: str, level: str):
    """There are four."""
    getattr(kept.logger, method)("it")
    assert [line.level for line in kept.lines] == [level]


def test_a_quiet_process_keeps_lines_all_the_same():
    """It logs errors alone; the execution keeps what is info and above."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    try:
        kept = Kept()
        with capture_logs() as logged:
            for method in ("debug", "info", "error"):
                getattr(kept.logger, method)(method)
    finally:
        structlog.configure(**before)
    assert kept.texts == ["info", "error"]
    assert [line["event"] for line in logged] == ["error"]


def test_a_traceback_is_an_error(kept: Kept):
    """The handler's own, behind the line that it belongs to; that of its failure alone."""
    try:
        {}["by"]
    except KeyError as error:
        kept.logger.exception("not.found", key="by")
        kept.logger.warning(RAISED, exc_info=error)
    first, second = kept.lines
    assert (first.level, second.level) == ("error", "error")
    assert first.text.startswith("not.found key=by\nTraceback")
    assert second.text.startswith("Traceback")
    assert f'File "{__file__}", line' in second.text
    assert first.text.endswith("KeyError: 'by'")
    assert second.text.endswith("KeyError: 'by'")


def test_long_lines_are_cut(kept: Kept):
    """At 4 KiB of UTF-8, with a mark; so are huge values, and more fields than anyone reads."""
    kept.logger.info("é" * 5000)
    kept.logger.info("rows", rows=list(range(100_000)))
    kept.logger.info("fields", **{f"f{number}": number for number in range(1000)})
    assert kept.texts[0].endswith("bytes)")
    assert kept.texts[1].endswith(", ...]")
    assert len(kept.texts[2].split()) == MAX_FIELDS + 2
    assert max(line.size for line in kept.lines) <= MAX_LINE_BYTES


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_an_object_that_cannot_be_shown(kept: Kept, error: type[BaseException]):
    """It costs its own line, at most; the handler goes on."""
    kept.log._keep("info", {"event": "it", "value": Hostile(error)}, NAMES)
    kept.logger.info("on")
    assert len(kept.texts) == 2
    assert kept.texts[1] == "on"


def test_a_sink_that_fails(kept: Kept):
    """The line is lost, and its number left out."""

    def sink(line: LogLine) -> None:
        if line.sequence == 1:
            raise ZeroDivisionError
        kept.lines.append(line)

    log = AttemptLog(sink, clock=kept.clock)
    log.add("info", "lost")
    log.add("info", "line")
    assert kept.lines == [LogLine(2, START, "info", "line")]


def test_keys_of_the_service_are_covered(kept: Kept):
    """In a line, and in a traceback that is cut into pieces."""
    key = new_key()
    kept.logger.info("calls", key=key.text)
    kept.logger.warning(RAISED, exc_info=ValueError("x\n" * 2000 + key.text))
    assert key.text[13:] not in "".join(kept.texts)
    assert f"sgk_{key.id}_***" in kept.texts[0]
    assert f"sgk_{key.id}_***" in kept.texts[-1]


async def test_the_rate_of_lines(kept: Kept):
    """A burst, then so many a second; the numbers of those beyond are left out, and the end names a gap behind it."""
    for _ in range(BURST + 10):
        kept.log.add("info", "line")
    assert kept.lines[-1].sequence == BURST
    await kept.clock.advance(1)
    for _ in range(RATE + 5):
        kept.log.add("info", "line")
    kept.log.end()
    assert len(kept.lines) == BURST + RATE + 1
    assert kept.lines[BURST].sequence == BURST + 11
    assert kept.lines[-1] == LogLine(
        BURST + RATE + 16, kept.clock.now(), "warning", f"(5 lines were dropped: an attempt keeps {RATE} a second)"
    )


def test_a_failure_is_kept_beyond_the_rate(kept: Kept):
    """Its traceback; else its text. Nothing is taken after the end."""
    for _ in range(BURST + 1):
        kept.log.add("info", "line")
    kept.logger.warning(RAISED, exc_info=ValueError("why"))
    kept.log.end("ValueError: why")
    kept.log.add("info", "too late")
    assert kept.texts[BURST:] == ["ValueError: why"]
    other = Kept()
    other.log.end("said so")
    assert other.lines == [LogLine(1, START, "error", "said so")]


def test_lines_of_many_threads(kept: Kept):
    """Each has a number of its own, and they come in the order of their numbers."""
    threads = [threading.Thread(target=lambda: [kept.log.add("info", "line") for _ in range(20)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [line.sequence for line in kept.lines] == list(range(1, 161))


def test_a_line_of_a_stranger_is_made_fit():
    """A worker in another language may send anything; a line that is fit is itself."""
    fit = LogLine(1, START, "info", "line")
    assert as_kept(fit) is fit
    assert as_kept(LogLine(1, START, "FATAL", "a\x00b")) == LogLine(1, START, "info", "a\ufffdb")
    assert as_kept(LogLine(1, START, "error", "x" * 10_000)).size <= MAX_LINE_BYTES
