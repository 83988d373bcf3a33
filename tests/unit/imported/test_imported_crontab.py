"""Crontabs as task files: what each line becomes, and that it is due when cron runs it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedule_grpc.domain.schedule import parse
from schedule_grpc.formats.imported.crontab import MAX_VARIABLES, read_crontab
from schedule_grpc.formats.imported.values import Imported, ImportedTask, NotReadable

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
LOWS, HIGHS = (0, 0, 1, 1, 0), (59, 23, 31, 12, 7)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def read(text: str, *, system: bool = False, handler: str = "", time_zone: str = "UTC") -> Imported:
    """Return what a crontab imports."""
    return read_crontab(text, handler=handler, time_zone=time_zone, system=system)


def one(text: str, *, system: bool = False) -> ImportedTask:
    """Return the only task of a crontab."""
    (task,) = read(text, system=system).tasks
    return task


def test_a_line_becomes_a_task():
    """Its command is the payload; the policies are what cron means: no retry, no waiting, no catching up."""
    task = one("\n# m h\n*/5 9-17 * * 1-5\t/usr/bin/poll --fast\n")
    assert (task.place, task.name, task.schedule, task.handler) == (
        "line 3",
        "poll-fast",
        "*/5 9-17 * * 1-5",
        "run-command",
    )
    assert task.payload == {"command": "/usr/bin/poll --fast"}
    assert task.policy == {
        "timeout": "24h",
        "overlap": "allow-all",
        "catch_up": "none",
        "retry": {"max_retries": 0},
    }
    assert task.notes == ()


@pytest.mark.parametrize(
    ("command", "stdin", "written"),
    [
        ("mail me", "Dear me,\ndone\n", "mail me%Dear me,%done"),
        ("date +%F", "", r"date +\%F"),
        ("echo \\\\", "x\n", r"echo \\%x"),
        ("cat", "100% sure\n", r"cat%100\% sure"),
        ("cat", "\\% \\\n", r"cat%\\% \\"[:-1]),
    ],
)
def test_percent_is_read_as_cron_reads_it(command: str, stdin: str, written: str):
    """The first one ends the command, each other one a line of its input; a backslash before it keeps it."""
    task = one(f"* * * * * {written}")
    assert task.payload == {"command": command} | ({"stdin": stdin} if stdin else {})
    assert any(note.startswith("% is read as cron reads it") for note in task.notes)


def test_variables_go_to_the_tasks_below_them():
    """Those whose names speak of secrets do not: their values would be shown to every caller."""
    found = read('A=1\n* * * * * first\nB = "two words"\nDB_PASSWORD=hunter2\nMAILTO=ops\n* * * * * second\n')
    assert [task.payload.get("env") for task in found.tasks] == [{"A": "1"}, {"A": "1", "B": "two words"}]
    assert "hunter2" not in repr(found)
    notes = "\n".join(found.notes)
    for text in ("line 1: A stands in the payload", "line 4: DB_PASSWORD is not copied", "line 5: MAILTO=ops: no outp"):
        assert text in notes


def test_variables_of_crons_own():
    """CRON_TZ is the zone of what is below it, RANDOM_DELAY a jitter; TZ moves no times."""
    found = read("TZ=Asia/Tokyo\n0 1 * * * a\nCRON_TZ=Europe/Berlin\nRANDOM_DELAY=45\n0 2 * * * b")
    first, second = found.tasks
    assert (first.time_zone, first.payload["env"], "jitter" in first.policy) == ("UTC", {"TZ": "Asia/Tokyo"}, False)
    assert (second.time_zone, second.policy["jitter"]) == ("Europe/Berlin", "45m")
    assert len([note for note in found.notes if note.startswith("line ")]) == 4


def test_a_system_crontab_has_users():
    """In its sixth column; a dash before the schedule is cronie's, and says that it is not logged."""
    task = one("-17 *\t* * *\twww-data  cd / && run-parts --report /etc/cron.hourly", system=True)
    assert (task.schedule, task.name) == ("17 * * * *", "run-parts-report-cron.hourly")
    assert task.payload == {"command": "cd / && run-parts --report /etc/cron.hourly", "user": "www-data"}
    assert task.notes == ("ran as the user www-data; here the worker's or the server's own user runs it",)


def test_names_are_made_of_commands_and_unique():
    """Folders, variables, wrappers and redirections are no part of them."""
    lines = ["/opt/a.sh >/dev/null 2>&1", "A=b nice /opt/a.sh", "cd /x; ./a.sh | tee b", '"', "a.sh-2", "ж"]
    found = read("\n".join(f"@daily {line}" for line in lines))
    assert [task.name for task in found.tasks] == ["a.sh", "a.sh-2", "a.sh-3", "command", "a.sh-2-2", "command-2"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("@reboot start", "@reboot is not a time"),
        ("61 * * * * x", "minute: 61 is above 59"),
        ("0~59 * * * * x", "minute: 0~59 is not a number"),
        ("5/15 * * * * x", "a step needs a range"),
        ("0 22-2 * * * echo", "the range 22-2 runs backwards"),
        ("0 0 31 2 * x", "can never fire"),
        ("@every_minute x", "is not one of"),
        ("0 0 */40 * 1 x", "both days must match"),
        pytest.param(f"@daily {'x' * 70_000}", "more than the 65536 bytes allowed", id="a long command"),
    ],
)
def test_what_has_no_schedule_here_is_left_out(line: str, why: str):
    """With the reason; the rest is imported."""
    found = read(f"{line}\n@daily good")
    assert len(found.tasks) == 1
    assert why in found.left[0].reason
    assert found.left[0].place == "line 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@daily a\nfoo bar", "line 2: is no job"),
        ("* * * * *", "line 1: is no job"),
        ("@daily", "line 1: is no job"),
        ("@daily \0", "line 1: has a NUL byte"),
        ("CRON_TZ=Mars/Base\n", "line 1: CRON_TZ: 'Mars/Base' is not a time zone"),
        ("\n".join(f"A{n}=1" for n in range(MAX_VARIABLES + 1)), f"line {MAX_VARIABLES + 1}: is the variable"),
    ],
)
def test_what_is_no_crontab_is_an_error(text: str, message: str):
    """With its line."""
    with pytest.raises(NotReadable, match=message):
        read(text)


def test_a_line_of_a_system_crontab_needs_a_command():
    """Its sixth column alone is a user."""
    with pytest.raises(NotReadable, match="a user and a command"):
        read("* * * * * root", system=True)


def test_other_lines_are_read_in_time_that_grows_with_them():
    """A megabyte of what could make a pattern go back and forth."""
    for text in ("A=" + " " * 500_000 + "b", "@daily " + "cd a; " * 8_000, "@daily " + "A=b " * 12_000, "a " * 500_000):
        read("@daily x\n" + text)


# A step longer than its field: Debian's cron takes the first value alone.
STEPS = (
    ("*/99 * * * *", "0 * * * *"),
    ("5-10/99 */50 * * *", "5 0 * * *"),
    ("0 0 */31 * *", "0 0 1 * *"),
    ("0 0 1 */12 *", "0 0 1 1 *"),
    ("0 0 13 * */8", "0 0 13 * */7"),
    ("0 0 * * fri-sat/9", "0 0 * * fri"),
)


@pytest.mark.parametrize(("written", "read_as"), STEPS)
def test_steps_longer_than_their_field_are_written_out(written: str, read_as: str):
    """They mean their first value alone, and a note says so."""
    task = one(f"{written} x")
    assert task.schedule == read_as
    assert any("longer than its field" in note for note in task.notes)


@st.composite
def fields(draw: st.DrawFn, place: int) -> tuple[str, frozenset[int]]:
    """Return a field of a crontab, and the values that it was built to mean."""
    low, high = LOWS[place], HIGHS[place]
    texts, values = [], set()
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["star", "star/", "one", "range", "range/", "name"]))
        first, last = sorted((draw(st.integers(low, high)), draw(st.integers(low, high))))
        step = draw(st.integers(1, 2 * (high - low)))
        names = {3: MONTHS, 4: WEEKDAYS}.get(place)
        if kind == "name" and names:
            chosen = draw(st.integers(0, len(names) - 1))
            texts.append(draw(st.sampled_from([names[chosen], names[chosen].upper()])))
            values.add(low + chosen)
        elif kind in ("star", "star/"):
            texts.append("*" if kind == "star" else f"*/{step}")
            values |= set(range(low, high + 1, 1 if kind == "star" else step))
        elif kind in ("range", "range/"):
            texts.append(f"{first}-{last}" + (f"/{step}" if kind == "range/" else ""))
            values |= set(range(first, last + 1, step if kind == "range/" else 1))
        else:
            texts.append(str(first))
            values.add(first)
    return ",".join(texts), frozenset(value % 7 for value in values) if place == 4 else frozenset(values)


def vixie_runs(texts: list[str], sets: list[frozenset[int]], after: datetime, count: int) -> list[datetime]:
    """Return when Vixie's cron runs a line next: day by day, and both days must match if one begins with a star."""
    found: list[datetime] = []
    day = after.date()
    for _ in range(366 * 9):
        in_month, in_week = day.day in sets[2], day.isoweekday() % 7 in sets[4]
        star = texts[2].startswith("*") or texts[4].startswith("*")
        if day.month in sets[3] and (in_month and in_week if star else in_month or in_week):
            times = (
                datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                for hour in sorted(sets[1])
                for minute in sorted(sets[0])
            )
            found += [time for time in times if time > after][: count - len(found)]
        if len(found) == count:
            break
        day += timedelta(days=1)
    return found


@settings(derandomize=True, deadline=None, database=None, max_examples=300)
@given(st.tuples(*(fields(place) for place in range(5))))
def test_tasks_are_due_when_cron_runs_the_line(drawn):
    """The next five runs, for whatever cron accepts; what is left out has a reason."""
    texts, sets = [text for text, _ in drawn], [values for _, values in drawn]
    found = read(f"{' '.join(texts)} x")
    expected = vixie_runs(texts, sets, NOW, 5)
    if found.tasks:
        assert list(parse(found.tasks[0].schedule).upcoming(NOW, 5))[: len(expected)] == expected
    else:
        (left,) = found.left
        assert "can never fire" in left.reason or "both days must match" in left.reason
