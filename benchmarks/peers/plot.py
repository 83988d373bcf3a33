"""Draws the measure `curve` from a run's JSON: `python -m benchmarks.peers.plot JSON SVG`."""

import json
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

LINES = {"registered": "tasks registered, 1,000 of them due at once", "due": "tasks registered, all due at once"}


def points(document: dict, line: str) -> list[tuple[int, float, float, float]]:
    """Return a line's places: how many tasks, the CPU of an execution: median, least, most."""
    [curve] = [measure["figures"] for measure in document["measures"] if measure["name"] == "curve"]
    found = []
    for name, figure in curve.items():
        side, _, of = name.partition(": ")
        if side.startswith(f"{line} ") and of == "CPU µs each":
            found.append((int(side.removeprefix(f"{line} ")), figure["median"], figure["min"], figure["max"]))
    return sorted(found)


def main(source: str, target: str) -> None:
    """Draw both lines, with the spread of their rounds."""
    document = json.loads(Path(source).read_text())
    if all(measure["name"] != "curve" or not measure["figures"] for measure in document["measures"]):
        print("{}")
        return
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = "schedule-grpc"
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for line, label in LINES.items():
        places, medians, least, most = zip(*points(document, line), strict=True)
        axes.plot(places, medians, marker="o", label=label)
        axes.fill_between(places, least, most, alpha=0.2)
    axes.set(xscale="log", xlabel="tasks", ylabel="CPU of the server for each execution, µs")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(target, metadata={"Date": None})
    print("{}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
