"""Draws the measure `curve` from a run's JSON: `python -m benchmarks.peers.plot JSON SVG`."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

LINES = {
    "registered": "tasks registered, {due:,} of them due at once",
    "due": "tasks registered, all due at once",
}


def points(curve: dict[str, Any], line: str) -> list[tuple[int, float, float, float]]:
    """Return a line's places: how many tasks, the CPU of an execution: median, least, most."""
    found = []
    for name, figure in curve["figures"].items():
        side, _, of = name.partition(": ")
        if side.startswith(f"{line} ") and of == "CPU µs each":
            found.append((int(side.removeprefix(f"{line} ")), figure["median"], figure["min"], figure["max"]))
    return sorted(found)


def draw(curve: dict[str, Any], target: str) -> None:
    """Draw both lines, with the spread of their rounds."""
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = "schedule-grpc"
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for line, label in LINES.items():
        places, medians, least, most = zip(*points(curve, line), strict=True)
        axes.plot(places, medians, marker="o", label=label.format(due=curve["sizes"]["due of registered"]))
        axes.fill_between(places, least, most, alpha=0.2)
    axes.set(xscale="log", xlabel="tasks", ylabel="CPU of the server for each execution, µs")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(target, metadata={"Date": None})


def main(source: str, target: str) -> None:
    """Draw the curve where it was taken; print whether it was."""
    measures = json.loads(Path(source).read_text())["measures"]
    taken = [measure for measure in measures if measure["name"] == "curve" and not measure["failed"]]
    for curve in taken:
        draw(curve, target)
    print(json.dumps({"drawn": len(taken)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
