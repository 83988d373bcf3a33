"""Asks for one path over kept connections: `python -m benchmarks.http_load ADDRESS PATH SECONDS`."""

import asyncio
import json
import resource
import sys
import time

CONNECTIONS = 16


async def ask(address: str, path: str, seconds: float) -> dict[str, float]:
    """Keep asking for that long; return the figures."""
    host, _, port = address.rpartition(":")
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    used, began, answered = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter(), 0

    async def keep_asking() -> None:
        nonlocal answered
        reader, writer = await asyncio.open_connection(host, int(port))
        while time.perf_counter() < began + seconds:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head[:15], head
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            answered += 1
        writer.close()

    await asyncio.gather(*(keep_asking() for _ in range(CONNECTIONS)))
    spent, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cores = (after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime) / spent
    return {"requests": answered, "requests/s": answered / spent, "driver, cores": cores}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask(sys.argv[1], sys.argv[2], float(sys.argv[3])))))
