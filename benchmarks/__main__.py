"""`python -m benchmarks`: runs the measures and prints them, ratios first."""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.header import header, load
from benchmarks.measure import Bench, Measure, Size
from benchmarks.measures import MEASURES
from benchmarks.processes import ROOT, result_of
from benchmarks.report import lines_of
from benchmarks.rounds import Result, take

ROUNDS = {Size.FULL: 5, Size.QUICK: 1, Size.TINY: 1}
ENDED = 128 + signal.SIGTERM
PEERS = ROOT / ".venv-bench" / "bin" / "python"


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the service beside its peers.")
    parser.add_argument("--only", metavar="NAME", action="append", choices=[each.name for each in MEASURES])
    parser.add_argument("--rounds", type=int, metavar="N", help="of each measure [5; quick and tiny: 1]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the measure `curve` there, as SVG")
    parser.add_argument("--quick", dest="size", action="store_const", const=Size.QUICK, default=Size.FULL)
    parser.add_argument("--tiny", dest="size", action="store_const", const=Size.TINY, help="only see that it runs")
    parser.add_argument("--list", action="store_true", help="tell what each measure measures")
    return parser.parse_args(words)


def chosen(options: argparse.Namespace) -> list[Measure]:
    """Return the measures to run."""
    if options.only:
        return [measure for measure in MEASURES if measure.name in options.only]
    return [measure for measure in MEASURES if measure.quick or options.size is not Size.QUICK]


def main(words: Sequence[str] | None = None) -> int:
    """Run the measures; return 1 if one of them failed, else 0, whatever the figures are."""
    options = arguments(words)
    if options.list:
        print("\n\n".join(f"{measure.name}: {measure.about}" for measure in chosen(options)))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED))  # the servers that it started end, too
    head = header(options.size, peers=PEERS.exists())
    print("\n".join(f"{name}: {value}" for name, value in head.items()), flush=True)
    document: dict[str, Any] = {"header": head, "measures": []}
    results: list[Result] = []
    for measure in chosen(options):
        results.append(_taken(measure, options))
        document["measures"].append(results[-1].as_json())
        head["load average at the end"] = load()
        if options.json:  # after each measure: a long run may be ended
            options.json.write_text(json.dumps(document, indent=1))
    print(f"\nload average at the end: {load()}")
    if options.plot and PEERS.exists():
        _draw(document, options.plot)
    return int(any(result.failed for result in results))


def _taken(measure: Measure, options: argparse.Namespace) -> Result:
    scratch = ROOT / "build"
    scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=scratch) as folder:
        bench = Bench(size=options.size, folder=Path(folder), peers=PEERS if PEERS.exists() else None)
        result = take(measure, bench, options.rounds or ROUNDS[options.size])
    print("\n" + "\n".join(lines_of(result)), flush=True)
    return result


def _draw(document: dict[str, Any], target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "bench.json"
        source.write_text(json.dumps(document))
        result_of("peers.plot", str(source), str(target.resolve()), folder=Path(folder), python=PEERS)


if __name__ == "__main__":
    sys.exit(main())
