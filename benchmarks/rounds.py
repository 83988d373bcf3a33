"""Runs a measure: its sides in turn, round after round, so that a machine whose speed drifts is fair to all sides."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.measure import Bench, Figures, Measure, Sides


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One figure over all rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.values)

    def as_json(self) -> dict[str, Any]:
        """Return the figure as JSON values."""
        return {"median": self.median, "min": min(self.values), "max": max(self.values), "rounds": self.values}


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a measure."""

    measure: Measure
    taken: list[Figures] = field(default_factory=list)
    """The figures of each round, by ``side: figure``."""
    sizes: Mapping[str, Any]
    failed: str = ""
    """The error that ended the measure; the rounds before it count."""

    def figures(self) -> dict[str, Spread]:
        """Return every figure."""
        names = dict.fromkeys(name for figures in self.taken for name in figures)
        return {name: _spread([figures.get(name) for figures in self.taken]) for name in names}

    def headlines(self) -> list[tuple[str, str, Spread]]:
        """Return the headlines: text, goal and values. Headlines of missing peers are left out."""
        lines = [
            (headline.says, headline.goal, [headline.of(figures) for figures in self.taken])
            for headline in self.measure.headlines
        ]
        return [(says, goal, _spread(values)) for says, goal, values in lines if any(v is not None for v in values)]

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "name": self.measure.name,
            "title": self.measure.title,
            "headlines": [{"says": says, "goal": goal} | of.as_json() for says, goal, of in self.headlines()],
            "figures": {name: spread.as_json() for name, spread in self.figures().items()},
            "sizes": self.sizes,
            "failed": self.failed,
        }


def take(measure: Measure, bench: Bench, rounds: int) -> Result:
    """Run a measure. An error ends this measure only, and is reported in its result."""
    result = Result(measure=measure, sizes=bench.sizes)
    try:
        with measure.sides(bench) as sides:
            for _ in range(rounds):
                result.taken.append(_one_round(sides))
    except Exception as error:  # noqa: BLE001 (it is shown, and the program ends with 1)
        return replace(result, failed=f"{type(error).__name__}: {error}")
    return result


def _one_round(sides: Sides) -> Figures:
    return {f"{side}: {name}": value for side, act in sides.items() for name, value in act().items()}


def _spread(values: Sequence[float | None]) -> Spread:
    return Spread(values=tuple(value for value in values if value is not None))
