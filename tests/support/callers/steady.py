"""Callers of every kind that count calls and failures, and try nothing twice."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
from support.patience import AT_MOST, until
from support.servers.balancer import Balancer
from support.witnesses.ledger import Ledger

from schedule_grpc.client import AsyncClient, Tls
from schedule_grpc.domain.execution import State
from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.errors import ScheduleError
from schedule_grpc.events import Lost

GRPC_CALLERS, HTTP_CALLERS = 4, 2
KEPT = 20
"""Calls of an HTTP caller by one connection, unless the server ends it before."""
BESIDE = Policy(overlap=Overlap.ALLOW_ALL)


class SteadyCallers:
    """Work through a balancer until they are told to stop; each has connections of its own."""

    def __init__(self, balancer: Balancer, *, ca: Path, token: str, pause: float = 0) -> None:
        """Take the way to the servers, what callers prove and check, and the seconds between a caller's calls."""
        self._balancer = balancer
        self._pause = pause
        self._ca = ca
        self._token = token
        self._stopping = asyncio.Event()
        self._working: list[asyncio.Task[None]] = []
        self.log = Ledger()
        self.calls: Counter[str] = Counter()
        """Calls that were answered, by kind; for the watch its events."""
        self.watch_port = 0
        """Where the balancer takes the watch's connection."""
        self.watches_renewed = 0
        """How often the watch began anew, beside its beginning."""
        self.failures: list[str] = []
        """Calls that were not answered as they should be."""

    async def begin(self) -> None:
        """Register a task for each caller, and one that fires each second; then let all of them call."""
        async with await self._client() as client:
            for name in (*map(_task, range(GRPC_CALLERS + HTTP_CALLERS)), "every-second"):
                schedule = "every 1 second" if name == "every-second" else "@manual"
                await client.register_task(name=name, schedule=schedule, handler="quick", policy=BESIDE)
                self.log.tasks.append(name)
        self.watch_port = await self._balancer.listen("grpc")
        callers = (
            *(self._by_grpc(_task(number)) for number in range(GRPC_CALLERS)),
            *(self._by_http(_task(GRPC_CALLERS + number)) for number in range(HTTP_CALLERS)),
            self._watch(),
        )
        self._working = [asyncio.create_task(each) for each in callers]

    async def go_on(self, number: int) -> None:
        """Return once so many more calls of each kind have been answered, or one has failed."""
        before = Counter(self.calls)

        async def enough() -> bool:
            for caller in self._working:
                if caller.done():
                    caller.result()
            return bool(self.failures) or all(self.calls[kind] >= before[kind] + number for kind in KINDS)

        await until(enough)

    async def stop(self) -> None:
        """Let each of them finish the call that it makes."""
        self._stopping.set()
        await asyncio.gather(*self._working)

    async def _client(self, **options: float) -> AsyncClient:
        port = await self._balancer.listen("grpc")  # equal targets of one process would share a connection
        return self._client_at(port, **options)

    def _client_at(self, port: int, **options: float) -> AsyncClient:
        tls = Tls(ca=self._ca)
        return AsyncClient(f"localhost:{port}", tls=tls, token=self._token, deadline=AT_MOST, **options)

    async def _by_grpc(self, task: str) -> None:
        async with await self._client(attempts=1, patience=0) as client:

            async def run() -> None:
                result = await client.run_task_now(task)
                self.log.note(result.execution)
                assert result.execution.state is State.SUCCEEDED

            async def run_detached() -> None:
                self.log.note((await client.run_task_now(task, detach=True)).execution)

            async def get() -> None:
                assert (await client.get_task(task)).name == task

            while not self._stopping.is_set():
                await self._call(RUN, run)
                await self._call(GET, get)
                await self._call(RUN_DETACHED, run_detached)

    async def _by_http(self, task: str) -> None:
        port = await self._balancer.listen("https")
        verified = ssl.create_default_context(cafile=self._ca)
        headers = {"authorization": f"Bearer {self._token}"}
        while not self._stopping.is_set():
            async with httpx2.AsyncClient(
                base_url=f"https://localhost:{port}", verify=verified, headers=headers, trust_env=False, timeout=AT_MOST
            ) as client:
                await self._by_connection(client, task)

    async def _by_connection(self, client: httpx2.AsyncClient, task: str) -> None:
        async def get() -> None:
            (await client.get(f"/tasks/{task}")).raise_for_status()

        async def run() -> None:
            answer = (await client.post(f"/tasks/{task}/run")).raise_for_status().json()
            assert answer["execution"]["status"] == "success"
            self.log.executions.append(answer["execution"]["id"])

        for _ in range(KEPT // 2):
            if not self._stopping.is_set():
                await self._call(HTTP_GET, get)
                await self._call(HTTP_RUN, run)

    async def _call(self, kind: str, call: Callable[[], Awaitable[None]]) -> None:
        try:
            await call()
        except (ScheduleError, httpx2.HTTPError, AssertionError) as error:
            self.failures.append(f"{kind}: {error!r}")
        else:
            self.calls[kind] += 1
        await asyncio.sleep(self._pause)

    async def _watch(self) -> None:
        async with self._client_at(self.watch_port) as client, client.watch_executions() as events:
            stopping = asyncio.create_task(self._stopping.wait())
            stopping.add_done_callback(lambda _: closing.append(asyncio.create_task(events.close())))
            closing: list[asyncio.Task[None]] = []
            try:
                async for event in events:
                    self.calls[EVENT] += 1
                    self.watches_renewed += isinstance(event, Lost) and event.count == 0
            except ScheduleError as error:
                self.failures.append(f"{EVENT}: {error!r}")
            stopping.cancel()
            await asyncio.gather(*closing)


RUN, RUN_DETACHED, GET, EVENT = "RunTaskNow", "RunTaskNow, detached", "GetTask", "event of WatchExecutions"
HTTP_GET, HTTP_RUN = "GET /tasks/{name}", "POST /tasks/{name}/run"
KINDS = (RUN, RUN_DETACHED, GET, EVENT, HTTP_GET, HTTP_RUN)


def _task(number: int) -> str:
    return f"caller-{number}"
