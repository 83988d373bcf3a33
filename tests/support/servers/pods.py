"""The containers of the Deployment, as plain processes: arguments and variables of the manifest, with other places.

Replaced are the ports (free ones of 127.0.0.1), the mounts (folders of the test), the database's URL, and the delay of
the drain, which is shorter.
"""

import asyncio
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

from support.manifests.container import variables_of
from support.manifests.rendered import BASE, Manifest, container_of, kustomized
from support.patience import AT_MOST
from support.servers import launched
from support.servers.authority import Authority
from support.servers.balancer import Backend
from support.servers.launched import environment, greeting_of
from support.servers.process import STARTED, Server

HANDLERS = "support.handlers.noting"


class Pod:
    """One of them: its server's process, and what a balancer needs to know."""

    def __init__(self, server: Server, variables: dict[str, str]) -> None:
        self.server = server
        self.variables = variables
        self.socket = server.address
        """The unix socket, for commands in the container."""
        grpc, http = server.greeting.splitlines()[:2]
        (grpc_port,) = map(int, re.findall(r"127\.0\.0\.1:(\d+) \(TLS\)", grpc))
        https, health = re.findall(r"https?://(127\.0\.0\.1:\d+)", http)
        self.backend = Backend(ports={"grpc": grpc_port, "https": int(https.rpartition(":")[2])}, health=health)

    async def execute(self, *arguments: str) -> str:
        """Run a command of schedule-grpc in the container, as `kubectl exec` does; return what it wrote."""
        variables = environment(**self.variables)
        ran = await asyncio.to_thread(launched.run, arguments, folder=None, variables=variables, timeout=AT_MOST)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    async def stop(self) -> None:
        """Ask it to stop, as the kubelet does; it ends cleanly."""
        code, errors = await asyncio.to_thread(self.server.terminate)
        faults = [line for line in errors.splitlines() if "Traceback" in line and "attempt.raised" not in line]
        assert (code, faults) == (0, []), f"exit code {code}: {errors[-2000:]}"


class Pods:
    """The pods of one Deployment, in one folder, on one database."""

    def __init__(self, folder: Path, url: str, *, drain_delay: str) -> None:
        self._folder = folder
        self._manifests = kustomized(BASE)
        self._secrets = {("schedule-grpc", "database"): url}
        self._delay = drain_delay
        self._numbers = count(1)
        authority = Authority(folder / "authority")
        self.ca = authority.ca
        pair = authority.signed("server")
        (folder / "tls").mkdir()
        pair.certificate.rename(folder / "tls" / "tls.crt")
        pair.key.rename(folder / "tls" / "tls.key")
        self._made: list[Pod] = []

    async def start(self) -> Pod:
        """Start one: first its init container, then its server; return once that has greeted."""
        pod = await asyncio.to_thread(self._start)
        self._made.append(pod)
        return pod

    def _start(self) -> Pod:
        run = Path(tempfile.mkdtemp(prefix="pod-"))  # a socket's path must be short
        init, server = (container_of(self._manifests, kind) for kind in ("initContainers", "containers"))
        given = environment(**self._variables(init, run))
        migrated = launched.run(init["args"], folder=self._folder, variables=given, timeout=AT_MOST)
        assert migrated.returncode == 0, migrated.stderr
        variables = self._variables(server, run) | {"SCHEDULE_HANDLERS": HANDLERS, "SCHEDULE_DRAIN_DELAY": self._delay}
        log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (it lives as long as the server)
        process = launched.start(
            server["args"],
            folder=self._folder,
            variables=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=log,
        )
        assert process.stdout is not None
        greeting, _ = greeting_of(process.stdout)
        started = Server(process, variables["SCHEDULE_SERVER"], greeting, None, log)
        STARTED.append(started)
        assert greeting.startswith("gRPC on "), started.written()
        return Pod(started, variables)

    def _variables(self, container: Manifest, run: Path) -> dict[str, str]:
        places = {"/etc/schedule-grpc/tls": str(self._folder / "tls"), "/run/schedule-grpc": str(run)}
        given = variables_of(container, secrets=self._secrets)
        return {name: _moved(value, places) for name, value in given.items()}

    async def end(self) -> None:
        """End those that a failed test has left."""
        for pod in self._made:
            await asyncio.to_thread(pod.server.end)


def _moved(value: str, places: dict[str, str]) -> str:
    for place, other in places.items():
        value = value.replace(place, other)
    return re.sub(r"0\.0\.0\.0:\d+", "127.0.0.1:0", value)


@asynccontextmanager
async def pods(folder: Path, url: str, *, drain_delay: str) -> AsyncIterator[Pods]:
    """Within this context pods can be started; none is left afterwards."""
    made = Pods(folder, url, drain_delay=drain_delay)
    try:
        yield made
    finally:
        await made.end()
