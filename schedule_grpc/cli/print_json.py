"""JSON on standard output, for programs that read it."""

import json
import sys
from typing import Any

from schedule_grpc.cli.standard_streams import is_unicode
from schedule_grpc.text.terminal import plain_json


def print_json(value: Any) -> None:
    """Print one JSON value."""
    print(plain_json(json.dumps(value, indent=2, ensure_ascii=not is_unicode(sys.stdout))))


def print_json_line(value: Any) -> None:
    """Print one JSON value on a line of its own, and flush: the reader follows a stream."""
    print(plain_json(json.dumps(value, ensure_ascii=not is_unicode(sys.stdout))), flush=True)
