"""Divides free slots among the handlers of waiting executions. Pure."""

from collections.abc import Mapping

SHARE = 0.8
"""The part of all slots that one handler gets at most while another one waits: the others can always start."""


def slots_by_handler(
    limit: int, running: Mapping[str, int], waiting: Mapping[str, int], limits: Mapping[str, int]
) -> dict[str, int]:
    """Return how many executions of each handler to start now.

    Args:
        limit: All slots.
        running: Those in use, by handler.
        waiting: Claimable executions, by handler (counted up to ``limit`` at least).
        limits: How many at most, by handler, where it is not ``limit``.

    Slots are given in turn, one to each that still wants one, so a long queue never starves a short one.
    """
    free = limit - sum(running.values())
    room = {handler: limits.get(handler, limit) - running.get(handler, 0) for handler in waiting}
    wanted = {handler: min(count, room[handler]) for handler, count in waiting.items() if min(count, room[handler]) > 0}
    if len(wanted) > 1:
        most = max(int(limit * SHARE), 1)
        wanted = {handler: min(count, most - running.get(handler, 0)) for handler, count in wanted.items()}
    given: dict[str, int] = {}
    while free > 0:
        hungry = [handler for handler in sorted(wanted) if given.get(handler, 0) < wanted[handler]][:free]
        if not hungry:
            break
        turns = min(free // len(hungry), *(wanted[handler] - given.get(handler, 0) for handler in hungry))
        for handler in hungry:
            given[handler] = given.get(handler, 0) + turns
        free -= turns * len(hungry)
    return given
