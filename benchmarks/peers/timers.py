"""How late asyncio's own timers are: `python -m benchmarks.peers.timers RATE SECONDS`."""

import asyncio
import json
import resource
import sys


async def lateness(rate: int, seconds: int) -> list[float]:
    """Return by how many seconds each timer of a steady rate was late."""
    loop, late, ended = asyncio.get_running_loop(), list[float](), asyncio.Event()
    begin, count = loop.time() + 0.1, rate * seconds

    def fire(when: float) -> None:
        late.append(loop.time() - when)
        if len(late) == count:
            ended.set()

    for number in range(count):
        when = begin + number / rate
        loop.call_at(when, fire, when)
    await ended.wait()
    return sorted(late)


if __name__ == "__main__":
    before = resource.getrusage(resource.RUSAGE_SELF)
    found = asyncio.run(lateness(int(sys.argv[1]), int(sys.argv[2])))
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "p50 ms late": found[len(found) // 2] * 1e3,
        "p99 ms late": found[int(len(found) * 0.99)] * 1e3,
        "max ms late": found[-1] * 1e3,
        "cores": (used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime) / int(sys.argv[2]),
    }
    print(json.dumps(figures))
