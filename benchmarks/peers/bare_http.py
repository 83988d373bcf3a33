"""A bare FastAPI route on uvicorn that answers one body: `python -m benchmarks.peers.bare_http FILE`."""

import json
import socket
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response

body = json.loads(Path(sys.argv[1]).read_text())
app = FastAPI()


@app.get("/tasks/{name}")
async def task(name: str) -> Response:  # noqa: ARG001 (as the service's own route takes it)
    """Render the body each time."""
    return Response(json.dumps(body), media_type="application/json")


if __name__ == "__main__":
    # Named as TCP, or asyncio does not set TCP_NODELAY, and each answer waits 40 ms for the last one's acknowledgement.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    print(f"127.0.0.1:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, http="httptools", loop="asyncio", access_log=False, log_level="error")
    uvicorn.Server(config).run([listening])
