"""A measure: sides that take turns, and the figures that are shown first."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

Figures: TypeAlias = Mapping[str, float]
"""The figures of one side in one round, by name and unit: ``{"wall s": 1.2}``."""
Sides: TypeAlias = Mapping[str, Callable[[], Figures]]
"""The sides of a measure by name, which take turns in each round: the service and its peers."""


class Size(StrEnum):
    """How much a run does."""

    FULL = "full"
    QUICK = "quick"
    """A hint during development: smaller, and not to be quoted."""
    TINY = "tiny"
    """Proof that the program runs; its figures mean nothing."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The context of a run, passed to its measures."""

    size: Size
    folder: Path
    """A scratch folder on the disk that is measured; emptied after each measure."""
    peers: Path | None
    """The interpreter of the peers' own environment; None if it does not exist: the peers are then left out."""
    sizes: dict[str, Any] = field(default_factory=dict)
    """The sizes of the measure in this run."""

    def sized(self, what: str, *, full: T, quick: T, tiny: T) -> T:
        """Return the value for this run's size, and record it: it is shown beside the figures."""
        chosen = {Size.FULL: full, Size.QUICK: quick, Size.TINY: tiny}[self.size]
        self.sizes[what] = chosen
        return chosen


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A headline: a figure, or the figure divided by another one of the same round."""

    says: str
    figure: str
    """``side: figure``."""
    over: str = ""
    goal: str = ""
    """The goal, as text: it is shown and never tested."""

    def of(self, taken: Figures) -> float | None:
        """Return its value in a round, whose figures are named ``side: figure``; None if a side is left out."""
        if self.figure not in taken or (self.over and not taken.get(self.over)):
            return None
        return taken[self.figure] / taken[self.over] if self.over else taken[self.figure]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure of the program."""

    name: str
    sides: Callable[[Bench], AbstractContextManager[Sides]]
    """Prepares the sides of all rounds; its docstring describes the measure."""
    headlines: tuple[Headline, ...]
    quick: bool = True
    """Whether a quick run includes the measure; one that is named by --only always runs."""

    @property
    def about(self) -> str:
        """The description of the measure, in all its lines."""
        lines = (self.sides.__doc__ or "").strip().splitlines()
        return "\n".join(line.strip() for line in lines)

    @property
    def title(self) -> str:
        """The first line of the description."""
        return self.about.partition("\n")[0].rstrip(".")
