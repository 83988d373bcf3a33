"""The benchmark program, in sizes whose figures mean nothing: nothing here decides by time."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from support.patience import AT_MOST

from benchmarks.measure import Bench, Headline, Measure, Sides, Size
from benchmarks.measures import MEASURES
from benchmarks.measures.restart import RESTART
from benchmarks.report import lines_of
from benchmarks.rounds import take

ROOT = Path(__file__).parents[2]


def bench(folder: Path) -> Bench:
    """Return what a tiny run gives to its measures."""
    return Bench(size=Size.TINY, folder=folder, peers=None)


def measure(turns: list[str], *, breaks_in_round: int = 0) -> Measure:
    """Return a measure of two sides that note their turns; in round n, ours takes n seconds and theirs 10."""
    rounds = count(1)

    @contextmanager
    def sides(_: Bench) -> Iterator[Sides]:
        """Two sides.

        The rest of the story.
        """

        def ours() -> dict[str, float]:
            turns.append("ours")
            number = next(rounds)
            if number == breaks_in_round:
                raise RuntimeError("the server is gone")
            return {"wall s": float(number)}

        def theirs() -> dict[str, float]:
            turns.append("theirs")
            return {"wall s": 10.0}

        yield {"ours": ours, "theirs": theirs}

    times = Headline(says="times as fast", figure="theirs: wall s", over="ours: wall s", goal=">= 8")
    absent = Headline(says="times the peer that is not there", figure="peer: wall s", over="ours: wall s")
    return Measure(name="pair", sides=sides, headlines=(times, absent))


def test_sides_take_turns_and_a_ratio_is_of_one_round(tmp_path: Path):
    """A B A B A B; each round's own ratio counts, and the median stands between the least and the most."""
    turns: list[str] = []
    result = take(measure(turns), bench(tmp_path), 3)
    assert turns == ["ours", "theirs"] * 3
    [(says, goal, ratio)] = result.headlines()
    assert (says, goal) == ("times as fast", ">= 8")
    assert ratio.values == pytest.approx((10, 5, 10 / 3))
    assert (ratio.median, min(ratio.values), max(ratio.values)) == pytest.approx((5, 10 / 3, 10))


def test_a_side_that_breaks_is_told_and_the_rounds_before_it_count(tmp_path: Path):
    """What went wrong stands in the result, beside the figures of the rounds that went well."""
    result = take(measure([], breaks_in_round=3), bench(tmp_path), 5)
    assert result.failed == "RuntimeError: the server is gone"
    assert result.figures()["ours: wall s"].values == (1, 2)
    assert "  FAILED: RuntimeError: the server is gone" in lines_of(result)


def test_every_measure_tells_what_it_measures():
    """Each has a name of its own, a title, and more to say of its peer and its units."""
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
    for each in MEASURES:
        assert each.title, each.name
        assert len(each.about.splitlines()) > 3, each.name


@pytest.mark.slow
def test_the_program_runs_from_end_to_end(tmp_path: Path):
    """A tiny run of one measure, through a real server, prints its headlines and writes the same as JSON."""
    file = tmp_path / "bench.json"
    command = [sys.executable, "-m", "benchmarks", "--tiny", "--only", "restart", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(file.read_text())
    assert {"commit", "python", "sqlite", "cpu", "cores", "load average"} <= set(document["header"])
    [restart] = document["measures"]
    assert not restart["failed"]
    headlines = [line["says"] for line in restart["headlines"]]
    assert headlines == [headline.says for headline in RESTART.headlines]
    assert all(says in done.stdout for says in headlines)
