"""Divides free slots among the queues of waiting executions: among namespaces, and in each among handlers. Pure."""

import heapq
from collections import Counter
from collections.abc import Mapping

from schedule_grpc.store.claims import ClaimRequest, QueueKey

SHARE = 0.8
"""The part of all slots that one handler gets at most while another one waits: the others can always start.

The same is true of namespaces.
"""


def slots_by_queue(request: ClaimRequest, waiting: Mapping[QueueKey, int]) -> dict[QueueKey, int]:
    """Return how many executions of each queue to start now.

    Args:
        request: The slots, and what runs in them already.
        waiting: Claimable executions, by queue (counted up to the limit at least).

    Slots go to namespaces in turn: the next one to the namespace with the fewest attempts, of several to the one whose
    turn is longest ago. So one execution of a namespace waits for no backlog of another one.
    """
    namespaces = {namespace for namespace, _ in waiting}
    if len(namespaces) > 1:
        return _slots_in_turn(request, waiting)
    given: dict[QueueKey, int] = {}
    for namespace in namespaces:
        counts = {handler: count for (_, handler), count in waiting.items()}
        free = min(request.free, request.room_in(namespace))
        slots = slots_by_handler(request.limit, request.running, counts, request.limits, free=free)
        given = {(namespace, handler): count for handler, count in slots.items()}
    return given


def in_turn(request: ClaimRequest, ready: Mapping[QueueKey, int]) -> list[QueueKey]:
    """Return the queues that have room, with the time of the first execution of each, in the order of their turns.

    First comes one queue of each namespace, then a second one of each: a namespace with many handlers hides no other.
    """
    oldest = sorted((queue for queue in ready if request.room(queue) > 0), key=ready.__getitem__)
    rank: Counter[str] = Counter()
    places: dict[QueueKey, tuple[int, int, int]] = {}
    for queue in oldest:
        namespace, _ = queue
        places[queue] = rank[namespace], request.running_in.get(namespace, 0), request.turns.get(namespace, 0)
        rank[namespace] += 1
    return oldest if len(rank) < 2 else sorted(oldest, key=places.__getitem__)  # noqa: PLR2004 (there is another one)


def slots_by_handler(
    limit: int,
    running: Mapping[str, int],
    waiting: Mapping[str, int],
    limits: Mapping[str, int],
    *,
    free: int | None = None,
) -> dict[str, int]:
    """Return how many executions of each handler to start now, if all are of one namespace.

    Args:
        limit: All slots.
        running: Those in use, by handler.
        waiting: Claimable executions, by handler (counted up to ``limit`` at least).
        limits: How many at most, by handler, where it is not ``limit``.
        free: How many at most, of all handlers together; None: all slots that are not in use.

    Slots are given in turn, one to each that still wants one, so a long queue never starves a short one.
    """
    free = limit - sum(running.values()) if free is None else free
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


def _slots_in_turn(request: ClaimRequest, waiting: Mapping[QueueKey, int]) -> dict[QueueKey, int]:
    left = {queue: count for queue, count in waiting.items() if count > 0 and request.room(queue) > 0}
    by_namespace: dict[str, list[str]] = {}
    for namespace, handler in sorted(left):
        by_namespace.setdefault(namespace, []).append(handler)
    most = max(int(request.limit * SHARE), 1)
    handlers = {handler for _, handler in left}
    most_of_handler = most if len(handlers) > 1 else request.limit
    most_in_namespace = most if len(by_namespace) > 1 else request.limit
    room = {
        handler: min(request.limits.get(handler, request.limit), most_of_handler) - request.running.get(handler, 0)
        for handler in handlers
    }
    hungry = [(request.running_in.get(each, 0), request.turns.get(each, 0), each) for each in by_namespace]
    heapq.heapify(hungry)
    given: Counter[QueueKey] = Counter()
    free = request.free
    while free > 0 and hungry:
        running, turn, namespace = heapq.heappop(hungry)
        may_run = min(request.shares.get(namespace, request.limit), most_in_namespace)
        able = [
            each
            for each in by_namespace[namespace]
            if room[each] > 0 and given[namespace, each] < left[namespace, each]
        ]
        if running >= may_run or not able:
            continue
        queue = namespace, min(able, key=lambda handler: given[namespace, handler])
        given[queue] += 1
        room[queue[1]] -= 1
        free -= 1
        heapq.heappush(hungry, (running + 1, turn, namespace))
    return dict(given)
