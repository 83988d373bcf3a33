"""A measure's result as text: the headlines, then every figure by side."""

from collections import defaultdict
from collections.abc import Iterator

from benchmarks.rounds import Result, Spread

WIDE = 52


def lines_of(result: Result) -> Iterator[str]:
    """Return the lines: medians, with the least and the most."""
    measure = result.measure
    yield f"{measure.name}: {measure.title}"
    yield "  " + ", ".join(f"{what}: {_size(chosen)}" for what, chosen in result.sizes.items())
    if result.failed:
        yield f"  FAILED: {result.failed}"
    for says, goal, spread in result.headlines():
        yield f"  {says:{WIDE}} {shown(spread):28} {goal and f'must be {goal}'}".rstrip()
    sides: dict[str, list[str]] = defaultdict(list)
    for name, spread in result.figures().items():
        side, _, figure = name.partition(": ")
        sides[side].append(f"{figure} {shown(spread)}")
    for side, figures in sides.items():
        yield f"    {side + ':':22} {' · '.join(figures)}"
    if result.taken:
        yield f"    ({len(result.taken)} rounds: median (least to most))"


def _size(chosen: object) -> str:
    if isinstance(chosen, tuple):
        return ", ".join(_size(each) for each in chosen)
    return f"{chosen:,}"


def shown(spread: Spread) -> str:
    """Return a figure's median with its least and its most."""
    if len(spread.values) == 1:
        return number(spread.median)
    return f"{number(spread.median)} ({number(min(spread.values))} to {number(max(spread.values))})"


def number(value: float) -> str:
    """Return a number with three significant digits, or all digits before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 (three digits)
