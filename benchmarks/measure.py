"""What a measure is: sides that take turns, and the figures that it shows first."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

Figures: TypeAlias = Mapping[str, float]
"""What one side gave in one round, by name and unit: ``{"wall s": 1.2}``."""
Sides: TypeAlias = Mapping[str, Callable[[], Figures]]
"""What takes turns in each round, by name: the service, and what it is compared with."""


class Size(StrEnum):
    """How much a run does."""

    FULL = "full"
    QUICK = "quick"
    """A hint while one works: smaller, and nothing to quote."""
    TINY = "tiny"
    """Only that the program runs: its figures mean nothing."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a run gives to its measures."""

    size: Size
    folder: Path
    """Scratch, on the disk that is measured; emptied after each measure."""
    peers: Path | None
    """The interpreter of the peers' own environment; None: it is not there, and they are left out."""
    sizes: dict[str, Any] = field(default_factory=dict)
    """What the measure's sizes are in this run."""

    def sized(self, what: str, *, full: T, quick: T, tiny: T) -> T:
        """Return the one that this run's size asks for, and note it: it is shown beside the figures."""
        chosen = {Size.FULL: full, Size.QUICK: quick, Size.TINY: tiny}[self.size]
        self.sizes[what] = chosen
        return chosen


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A line that is shown first: a figure, or the figure divided by another one of the same round."""

    says: str
    figure: str
    """``side: figure``."""
    over: str = ""
    goal: str = ""
    """What it must reach, as text: shown, and never a test."""

    def of(self, taken: Figures) -> float | None:
        """Return its value in a round, whose figures are named ``side: figure``; None where one of its sides is out."""
        if self.figure not in taken or (self.over and not taken.get(self.over)):
            return None
        return taken[self.figure] / taken[self.over] if self.over else taken[self.figure]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure of the program."""

    name: str
    sides: Callable[[Bench], AbstractContextManager[Sides]]
    """Prepares what all rounds share; its docstring tells what is measured."""
    headlines: tuple[Headline, ...]
    quick: bool = True
    """Whether it belongs to a quick run; one that is asked for by name is taken anyway."""

    @property
    def about(self) -> str:
        """What is measured, in how many lines it takes."""
        lines = (self.sides.__doc__ or "").strip().splitlines()
        return "\n".join(line.strip() for line in lines)

    @property
    def title(self) -> str:
        """The first line of that."""
        return self.about.partition("\n")[0].rstrip(".")
