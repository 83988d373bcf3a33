"""What the command line says to programs."""

import json
from typing import Any

from schedule_grpc.terminal_text import plain_json


def print_json(value: Any) -> None:
    """Print one JSON value."""
    print(plain_json(json.dumps(value, indent=2, ensure_ascii=False)))


def print_json_line(value: Any) -> None:
    """Print one JSON value on a line of its own, at once: somebody reads along."""
    print(plain_json(json.dumps(value, ensure_ascii=False)), flush=True)
