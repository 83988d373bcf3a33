"""Texts of others on a terminal: nothing moves the cursor, hides or reorders what is shown."""

import json
import unicodedata
from io import StringIO

import pytest
import structlog
from support.rigs.rig import START

from schedule_grpc.cli.commands.tasks.apply import _print
from schedule_grpc.cli.commands.tasks.difference import Change, ChangedTask, Difference
from schedule_grpc.cli.exits import fail
from schedule_grpc.cli.print_json import print_json, print_json_line
from schedule_grpc.cli.progress import display
from schedule_grpc.cli.worker_tables import print_handlers
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import Handler, define
from schedule_grpc.events import Progress
from schedule_grpc.text.terminal import first_line, plain, plain_json, plain_line, plain_traceback

HOSTILE = "a\x1b[2Jb\x9b2Jc\u202ed\u200be\u2028f\x07g\x7fh\U000e0041i\x85j\rk"
SHOWN = r"a\x1b[2Jb\x9b2Jc\u202ed\u200be\u2028f\x07g\x7fh\U000e0041i\x85j\rk"


def is_harmless(text: str) -> bool:
    """Tell whether a text shows all that it holds."""
    return text.replace("\n", "").isprintable()


def test_everything_is_visible_but_line_breaks():
    """As Python writes it; what is visible stays."""
    assert plain(HOSTILE) == SHOWN
    assert plain("zwei\nZeilen: ä 日本 ✓") == "zwei\nZeilen: ä 日本 ✓"
    assert first_line(f"{HOSTILE}\nmore") == f"{SHOWN} …"
    assert plain("\ud800") == r"\ud800"


def test_json_stays_the_same_value():
    """In keys and values, beyond the first plane too; what is visible is not escaped."""
    value = {HOSTILE: [HOSTILE, {"deep": HOSTILE}], "ä": "日本", "lone": "\ud800", "two": "1\n2"}
    for indent in (None, 2):
        text = plain_json(json.dumps(value, ensure_ascii=False, indent=indent))
        assert json.loads(text) == value
        assert is_harmless(text)
        assert "日本" in text
    assert plain_json('"\x9b\u202e"') == r'"\u009b\u202e"'


@pytest.mark.slow
def test_every_character_is_shown_or_escaped():
    """Of all that Unicode has."""
    everything = "".join(map(chr, range(0x110000)))
    shown = {unicodedata.category(each) for each in plain(everything).replace("\n", "")}
    assert not shown & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    pairs = everything.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")  # as JSON joins them
    assert json.loads(plain_json(json.dumps(everything, ensure_ascii=False))) == pairs


def test_what_the_commands_print_is_harmless(capsys: pytest.CaptureFixture[str]):
    """Tables, JSON, progress, errors; a payload's keys in the difference that `tasks apply` shows."""
    print_handlers([Handler(name=HOSTILE, description=HOSTILE)])
    print_json({HOSTILE: HOSTILE})
    print_json_line({HOSTILE: HOSTILE})
    with display() as shown:
        shown.progressed(Progress(execution_id="exec_1", task_name="task", fraction=0.5, text=HOSTILE, time=START))
    with pytest.raises(SystemExit):
        fail(f"the server says {HOSTILE}", code=1)
    change = Change(field=f"payload.{HOSTILE}\n+ another", before=HOSTILE, after=HOSTILE)
    wanted = Registration(definition=define(name="task", schedule="@daily", handler="x"))
    task = ChangedTask(registration=wanted, changes=(change,))
    _print([Difference(created=(), changed=(task,), deleted=(), unchanged=())], dry_run=True)
    said = capsys.readouterr()
    assert is_harmless(said.out)
    assert is_harmless(said.err)
    assert f"    payload.{SHOWN} …: {SHOWN} -> {SHOWN}\n" in said.out


def test_a_log_line_for_people_is_harmless():
    """Its event, names, values of every kind, and the text of an exception."""
    line = {"event": HOSTILE, HOSTILE: HOSTILE, "nested": {HOSTILE: [HOSTILE]}, "exc_info": error(HOSTILE)}
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain_traceback)
    written = renderer(None, "error", plain_line(None, "error", line))
    assert is_harmless(written)
    assert f"ValueError: {SHOWN}" in written


def test_a_traceback_is_written_whole():
    """With the line that raised it."""
    out = StringIO()
    raised = error("wrong")
    plain_traceback(out, (type(raised), raised, raised.__traceback__))
    assert out.getvalue().lstrip().startswith("Traceback (most recent call last):")
    assert out.getvalue().rstrip().endswith("ValueError: wrong")


def error(text: str) -> ValueError:
    """Return an exception that was raised."""
    with pytest.raises(ValueError, match=r".*") as raised:
        raise ValueError(text)
    return raised.value
