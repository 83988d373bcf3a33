"""Log lines of executions on a terminal and in pipes: as text for people, as JSON for programs."""

import sys
from datetime import datetime

from rich.console import Console
from rich.text import Text

from schedule_grpc.cli.print_json import print_json_line
from schedule_grpc.domain.execution.log_lines import LogLine
from schedule_grpc.formats.json_answers import log_line_json
from schedule_grpc.text.terminal import first_line, plain

STYLES = {"error": "red", "warning": "yellow", "debug": "dim"}
LEVEL_WIDTH = len("warning")
GAP = "  "


def log_line_shown(line: LogLine) -> Text:
    """Return a line for people: its time, its level, its text.

    Further lines of the text are indented, so that none looks like a log line of its own.
    """
    level = first_line(line.level)
    head = f"{_to_the_millisecond(line.time)}{GAP}"
    first, *others = plain(line.text).split("\n")
    shown = Text(head).append(f"{level:<{LEVEL_WIDTH}}", style=STYLES.get(level, "")).append(f"{GAP}{first}")
    for other in others:
        shown.append(f"\n{'':<{len(head) + LEVEL_WIDTH + len(GAP)}}{other}")
    shown.rstrip()
    return shown


class LogPrinter:
    """Prints log lines to standard output; where the attempt changes, its number to standard error.

    ``attempt`` is the one that the reader expects first.
    """

    def __init__(self, *, as_json: bool = False, attempt: int = 1) -> None:
        self._as_json = as_json
        self._console = Console(soft_wrap=True)
        self._attempt = attempt

    def print(self, attempt: int, line: LogLine) -> None:
        """Print a line of an attempt."""
        if self._as_json:
            print_json_line(log_line_json((attempt, line)))
            return
        if attempt != self._attempt:
            print(f"attempt {attempt}:", file=sys.stderr, flush=True)
            self._attempt = attempt
        self._console.print(log_line_shown(line))
        self._console.file.flush()


def _to_the_millisecond(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}.{instant.microsecond // 1000:03}Z"
