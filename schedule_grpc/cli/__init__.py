"""The command line: the server, and a client of a running one.

Exit codes: 0 success · 1 the task failed, or the server refused · 2 usage or configuration · 3 the server cannot be
reached. ``serve``: 0 stopped by a signal · 1 cannot start · 2 usage or configuration.
"""

from schedule_grpc.cli.main import main

__all__ = ["main"]
