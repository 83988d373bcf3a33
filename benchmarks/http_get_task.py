"""Requests per second of GET /tasks/{name}, beside a bare FastAPI route that answers the same bytes from memory.

Run it with `.venv/bin/python benchmarks/http_get_task.py`. Two server processes, asked in turn by 16 kept connections;
the ratio says what the guard, the service and a read of the database cost over FastAPI itself.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONNECTIONS = 16
SECONDS = 3.0
LAPS = 3
TASK = "health-check-services"
BARE = """
import json, sys, uvicorn
from fastapi import FastAPI, Response
body = json.loads(sys.argv[1])
app = FastAPI()
@app.get("/tasks/{name}")
async def task(name: str):
    return Response(json.dumps(body), media_type="application/json")
uvicorn.run(app, port=int(sys.argv[2]), http="httptools", loop="asyncio", access_log=False, log_level="error")
"""


async def ask(port: int, seconds: float) -> float:
    """Return how many requests were answered in a second."""
    request = f"GET /tasks/{TASK} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    ends = time.perf_counter() + seconds

    async def keep_asking() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answered = 0
        while time.perf_counter() < ends:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head[:15], head
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            answered += 1
        writer.close()
        return answered

    return sum(await asyncio.gather(*(keep_asking() for _ in range(CONNECTIONS)))) / seconds


async def body_of(port: int) -> bytes:
    """Return one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /tasks/{TASK} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


async def until_open(port: int) -> None:
    """Return once somebody listens."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return


def compare(folder: Path, ours: int = 18787, bare: int = 18788) -> None:
    """Print both, lap by lap, and their ratio."""
    command = str(Path(sys.executable).with_name("schedule-grpc"))
    options = ["--init", "--grpc", "127.0.0.1:0", "--http", f"127.0.0.1:{ours}", "--log-level", "error"]
    servers = [subprocess.Popen([command, "serve", *options], cwd=folder, stdout=subprocess.DEVNULL)]
    try:
        asyncio.run(until_open(ours))
        body = asyncio.run(body_of(ours)).decode()
        servers.append(subprocess.Popen([sys.executable, "-c", BARE, body, str(bare)], cwd=folder))
        asyncio.run(until_open(bare))
        ratios = []
        for lap in range(LAPS):
            mine, theirs = (asyncio.run(ask(port, SECONDS)) for port in (ours, bare))
            ratios.append(mine / theirs)
            print(f"lap {lap + 1}: ours {mine:,.0f}/s, bare FastAPI {theirs:,.0f}/s, ratio {mine / theirs:.2f}")
        print(f"median ratio {statistics.median(ratios):.2f}")
    finally:
        for server in servers:
            server.terminate()
            server.wait(10)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as path:
        compare(Path(path))
