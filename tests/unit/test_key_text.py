"""The text of a key: every damage to it is found, and no log line, error or traceback shows its secret."""

import hashlib
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.patience import AT_MOST

from schedule_grpc.api.http.envelope import refusal_of
from schedule_grpc.domain.access.key_text import ALPHABET, CHECK_LENGTH, PATTERN, KeyText, new_key, redacted
from schedule_grpc.errors import InvalidArgument, KeyNotFound
from schedule_grpc.formats.protobuf import status_of
from schedule_grpc.handlers.perform import cut
from schedule_grpc.log.lines import Lines, text_of
from schedule_grpc.log.values import MAX_TEXT, presentable

KEY = KeyText(text="sgk_0a1B2c3D_" + "Ky9Pf34qY6Nb3wWD25RQ4F5ZR3qa7yEeeby3abP3E2Z3C9il2", id="0a1B2c3D")
"""In two parts, so that no scanner takes it for one that leaked."""
SECRET = KEY.text[13:]
COVERED = f"sgk_{KEY.id}_***"
LOGGED = """
import sys
import structlog
from schedule_grpc.log import set_up
set_up.configure(style=sys.argv[1], level="debug")
key = sys.stdin.readline().strip()
log = structlog.get_logger()
log.info("plain", key=key, number=1)
log.info("object", value={key: [key, (key,)], "bytes": key.encode()}, long=key + "x" * 40_000)
log.info(f"event {key}")
try:
    raise ValueError(f"refused: {key}")
except ValueError:
    log.exception("failed")
import logging
logging.getLogger("foreign").warning("of a library: %s", key)
write = set_up.writer()
write([("info", "batch", {"key": key})])
with set_up.never_waiting():
    print("printed", key)
    sys.stderr.write(f"Traceback of {key}\\n")
set_up.flush()
raise SystemExit(0)
"""


def test_a_key_is_read_as_it_was_made():
    """With its id, and the digest of all of it; the form is the one that scanners are given."""
    read = KeyText.read(KEY.text)
    assert read == KEY
    assert re.fullmatch(PATTERN, KEY.text)
    assert KEY.text.startswith(f"sgk_{KEY.id}_")
    assert KEY.digest == hashlib.sha256(KEY.text.encode()).digest()


def test_a_rotation_keeps_the_id_and_nothing_else():
    """A new secret under the same id."""
    other = new_key(KEY.id)
    assert (other.id, other == KEY) == (KEY.id, False)
    assert KeyText.read(other.text) == other
    assert other.text[13:-CHECK_LENGTH] != KEY.text[13:-CHECK_LENGTH]


def test_ids_and_secrets_use_the_whole_alphabet():
    """Of a thousand keys all are different, and each of the 62 characters occurs in ids and in secrets."""
    made = [new_key() for _ in range(1000)]
    assert len({key.id for key in made}) == len({key.text for key in made}) == 1000
    assert set("".join(key.id for key in made)) == set(ALPHABET)
    assert set("".join(key.text[14:-CHECK_LENGTH] for key in made)) == set(ALPHABET)


@given(st.integers(0, len(KEY.text) - 1), st.characters())
def test_no_key_with_one_character_changed_is_read(place: int, other: str):
    """The check finds it, wherever it is and whatever it becomes: nobody asks the database about a mistyped key."""
    changed = KEY.text[:place] + other + KEY.text[place + 1 :]
    found = KeyText.read(changed)
    assert found is None if changed != KEY.text else found == KEY


@pytest.mark.parametrize("place", range(len(KEY.text)))
def test_every_other_character_at_a_place_is_refused(place: int):
    """All 61 of them, at each place: in the prefix, the id, the secret and the check."""
    others = set(ALPHABET) - {KEY.text[place]}
    assert not [each for each in others if KeyText.read(KEY.text[:place] + each + KEY.text[place + 1 :])]


@given(st.text())
def test_other_texts_are_no_keys(text: str):
    """Whatever it is, around a key too."""
    assert KeyText.read(text) is None
    assert not text or KeyText.read(text + KEY.text) is KeyText.read(KEY.text + text) is None


@pytest.mark.parametrize(
    "text", [f"{KEY.text}\n", f" {KEY.text}", KEY.text[:-1], KEY.text.swapcase(), "", "sgk_"], ids=len
)
def test_a_text_around_a_key_or_a_part_of_it_is_no_key(text: str):
    """A line break at the end, which a careless expression would let pass, too."""
    assert KeyText.read(text) is None


def test_a_key_does_not_show_itself():
    """In no repr, and in no text of it."""
    assert SECRET not in f"{KEY} {KEY!r} {[KEY]}"
    assert str(KEY) == COVERED


@given(st.text(), st.text(), st.integers(1, len(SECRET)))
def test_a_key_is_covered_whatever_stands_around_it(before: str, after: str, length: int):
    """Also what is left of one that was cut."""
    begin = KEY.text[: 13 + length]
    shown = redacted(f"{before}{begin}#{after}")
    assert begin not in shown
    assert f"{COVERED}#" in shown


@given(st.text(alphabet="sgk_0aZ -"))
def test_texts_without_a_key_stay(text: str):
    """Even if they begin like one."""
    assert redacted(text) == text or re.search(r"sgk_[0-9A-Za-z]{8}_[0-9A-Za-z]", text)


@pytest.fixture
def lines() -> Iterator[tuple[Lines, int]]:
    """Lines to a pipe, and the end that is read."""
    reading, writing = os.pipe()
    yield Lines(writing, notice="({})\n".format), reading
    os.close(reading)
    os.close(writing)


def test_lines_are_written_without_keys(lines: tuple[Lines, int]):
    """Those that are put, and those that are printed."""
    written, reading = lines
    written.put(f"one {KEY.text} two\n", "none\n")
    print("printed", KEY.text, file=text_of(written, 1))
    written.flush()
    assert os.read(reading, 65536).decode() == f"one {COVERED} two\nnone\nprinted {COVERED}\n"


@pytest.mark.parametrize("style", ["json", "console"])
def test_the_log_of_a_process_shows_no_key(style: str):
    """In values, names, events, tracebacks, lines of libraries, prints."""
    done = subprocess.run(
        [sys.executable, "-c", LOGGED, style],
        input=f"{KEY.text}\n",
        capture_output=True,
        text=True,
        timeout=AT_MOST,
        check=True,
    )
    written = done.stdout + done.stderr
    assert written.count(COVERED) >= 11
    assert SECRET not in written
    assert SECRET[:8] not in written


def test_a_traceback_that_is_cut_in_its_middle_shows_no_rest_of_a_key():
    """The cut may go through a key: its end alone would look like any word."""
    half = MAX_TEXT // 2 - 1
    shown = presentable(None, "error", {"exception": "unused", "exc_info": None})
    assert shown["exception"] == "unused"
    for shift in range(0, len(KEY.text) + 1, 7):
        message = f"{'a' * MAX_TEXT}{KEY.text}{'b' * (half - shift)}"
        line = presentable(None, "error", {"event": "e", "exc_info": _raised(message)})
        assert not [end for end in range(6, 40) if KEY.text[-end:] in line["exception"]]


def test_errors_to_callers_show_no_key():
    """Over gRPC, in the message and in each detail, and over HTTP."""
    for error in (InvalidArgument.of("name", f"{KEY.text} is none"), KeyNotFound(KEY.text)):
        assert SECRET not in str(status_of(error))
        assert COVERED in str(status_of(error))
        assert json.loads(bytes(refusal_of(error).body))["success"] is False
        assert SECRET.encode() not in refusal_of(error).body


def test_the_error_of_a_handler_is_kept_without_keys():
    """Whoever may read the history may not use what a handler quoted."""
    assert cut(f"401 for {KEY.text}") == f"401 for {COVERED}"


def test_a_library_that_logs_a_key_is_covered_by_the_stream_of_the_log(lines: tuple[Lines, int]):
    """As the log's set-up wires it: a StreamHandler on the lines."""
    written, reading = lines
    handler = logging.StreamHandler(text_of(written, 2))
    handler.emit(logging.makeLogRecord({"msg": "token %s", "args": (KEY.text,)}))
    written.flush()
    assert os.read(reading, 65536).decode() == f"token {COVERED}\n"


def _raised(message: str) -> BaseException:
    try:
        _raise(message)
    except ValueError as error:
        return error
    raise AssertionError(message)


def _raise(message: str) -> None:
    raise ValueError(message)
