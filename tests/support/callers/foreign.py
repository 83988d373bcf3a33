"""Foreign clients, which know the contract only by reflection."""

import asyncio
import subprocess
import sys
from pathlib import Path

from support.patience import AT_MOST
from support.servers import keyed_run
from support.servers.process import GRPCURL

BUF = str(Path(sys.executable).with_name("buf"))


async def grpcurl(address: str, *arguments: str, data: str | None = None) -> tuple[int, str, str]:
    """Return the exit code, output and errors of `grpcurl ADDRESS ARGUMENTS`."""
    body = [] if data is None else ["-d", data]
    return await _run(GRPCURL, "-plaintext", *_headers(address), *body, address, *arguments)


async def buf_curl(address: str, path: str, *options: str, data: str | None = None) -> tuple[int, str, str]:
    """Return the exit code, output and errors of `buf curl OPTIONS http://ADDRESS/PATH`, over gRPC."""
    body = [] if data is None else ["-d", data]
    url = f"http://{address}/{path}"
    return await _run(BUF, "curl", "--protocol=grpc", *_headers(address), "--reflect-header=*", *options, *body, url)


def _headers(address: str) -> list[str]:
    return [f"-H={name}: {value}" for name, value in keyed_run.bearer(address).items()]


async def _run(*command: str) -> tuple[int, str, str]:
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=AT_MOST, check=False
    )
    return done.returncode, done.stdout, done.stderr
