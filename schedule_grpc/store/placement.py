"""Divides executions among the workers that can take them. Pure."""

import heapq
from collections import Counter
from collections.abc import Sequence

from schedule_grpc.store.claims import Taker


def placed(handlers: Sequence[str], takers: Sequence[Taker]) -> list[Taker | None]:
    """Return, for each execution, the worker that takes it; None where none has room for its handler.

    Args:
        handlers: The handler of each execution, in the order of their turns.
        takers: The workers, the one that waits longest first.

    Each one goes to the worker with the largest part of its slots free, of several to the one that waits longest.
    Executions of handlers that a worker limits are placed first: the others fit everywhere.
    """
    limited = frozenset[str]().union(*(taker.room for taker in takers))
    left = {taker.owner: taker.free for taker in takers}
    taken: Counter[tuple[str, str]] = Counter()
    places: list[Taker | None] = [None] * len(handlers)
    hungry = [(-taker.free / taker.slots, number) for number, taker in enumerate(takers) if taker.free > 0]
    heapq.heapify(hungry)
    for place in sorted(range(len(handlers)), key=lambda each: handlers[each] not in limited):
        handler = handlers[place]
        aside = []
        while hungry:
            entry = heapq.heappop(hungry)
            taker = takers[entry[1]]
            room = taker.room.get(handler)
            if room is not None and taken[taker.owner, handler] >= room:
                aside.append(entry)
                continue
            places[place] = taker
            taken[taker.owner, handler] += 1
            left[taker.owner] -= 1
            if left[taker.owner]:
                aside.append((-left[taker.owner] / taker.slots, entry[1]))
            break
        for entry in aside:
            heapq.heappush(hungry, entry)
    return places
