"""What the command line says to programs."""

import json
from typing import Any


def print_json(value: Any) -> None:
    """Print one JSON value."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_json_line(value: Any) -> None:
    """Print one JSON value on a line of its own, at once: somebody reads along."""
    print(json.dumps(value, ensure_ascii=False), flush=True)
