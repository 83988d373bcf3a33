"""Values of policies as a task file has them, moved to our bounds where others have wider ones."""

from datetime import timedelta

from schedule_grpc.domain import durations

LONGEST_DEADLINE, LONGEST_WINDOW, LONGEST_TIMEOUT = timedelta(days=365), timedelta(days=3650), timedelta(hours=24)
SHORTEST_DEADLINE = timedelta(minutes=1)
"""Of imported tasks: a run must be able to reach a worker in time."""
_SECOND = timedelta(seconds=1)


def seconds(given: float, least: timedelta, most: timedelta) -> tuple[str, bool]:
    """Return a number of seconds as a duration within bounds, and whether it was moved into them."""
    wanted = timedelta(seconds=min(given, most.total_seconds() + 1))
    kept = min(max(wanted, least), most)
    return durations.written(kept), kept != wanted


def late_start(name: str, given: float, policy: dict[str, object], notes: list[str], *, unit: str = " s") -> None:
    """Set how late a run may start: what is caught up, and how long an execution waits for a worker."""
    policy["catch_up_window"], _ = seconds(given, SHORTEST_DEADLINE, LONGEST_WINDOW)
    policy["start_deadline"], moved = seconds(given, SHORTEST_DEADLINE, LONGEST_DEADLINE)
    if moved:
        notes.append(f"{name} is {given:g}{unit}; here a run may begin up to {policy['start_deadline']} late")


def timeout(name: str, given: float, policy: dict[str, object], notes: list[str]) -> None:
    """Set the longest time of an attempt."""
    policy["timeout"], moved = seconds(given, _SECOND, LONGEST_TIMEOUT)
    if moved:
        notes.append(f"{name} is {given:g} s; here a timeout is between 1 s and 24 h")
