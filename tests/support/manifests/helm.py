"""Helm's engine in a process of its own: a Go runtime brings threads and signal handlers, which tests do without.

This file is also the program of that process: it reads a request on each line, and answers on one.
"""

import atexit
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any


class HelmRefusedError(Exception):
    """What Helm says to values or a chart that it does not take."""


def asked(**request: Any) -> Any:
    """Return Helm's answer.

    Args:
        request: ``do`` (``render`` or ``lint``) and ``chart``; to render also ``values`` and ``name``.

    Raises:
        HelmRefusedError: if the values do not fit the chart's schema, or a template cannot be rendered.
    """
    process = _process()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    if "refused" in answer:
        raise HelmRefusedError(answer["refused"])
    return answer["done"]


@cache
def _process() -> "subprocess.Popen[str]":
    """Return the process; it ends with its standard input, when this process ends."""
    process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.communicate)
    return process


def _answered(request: dict[str, Any]) -> Any:
    import helm_python  # noqa: PLC0415 (in its own process only)

    if request["do"] == "lint":
        return helm_python.lint(request["chart"], strict=True)
    with helm_python.Chart.load(Path(request["chart"])) as chart:
        chart.validate_schema(request["values"])
        return chart.render(request["values"], name=request["name"], namespace="schedule")


def _serve() -> None:
    import helm_python  # noqa: PLC0415

    for line in sys.stdin:
        try:
            answer = {"done": _answered(json.loads(line))}
        except helm_python.HelmError as error:
            answer = {"refused": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
