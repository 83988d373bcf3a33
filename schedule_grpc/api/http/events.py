"""GET /events: transitions and progress as they happen, as server-sent events (WHATWG HTML, section 9.2)."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from functools import partial
from typing import Annotated

from fastapi import Depends, FastAPI, Query
from starlette.responses import Response, StreamingResponse

from schedule_grpc.api.http import shown
from schedule_grpc.api.http.envelope import encoded
from schedule_grpc.api.http.namespaces import Namespaced
from schedule_grpc.api.http.routing import States, described, execution_shown, states_of
from schedule_grpc.api.http.target import StreamRoute
from schedule_grpc.api.weights import weight_of_event
from schedule_grpc.errors import ResourceExhausted
from schedule_grpc.events import HEARTBEAT, Subscription, Transition, WatchEvent
from schedule_grpc.formats.json_answers import event_json
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.service import Service

MOST_STREAMS = 100
MEDIA_TYPE = "text/event-stream"
_STREAM = {200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}, "description": "Events, as they happen"}}


TAGS: list[str | Enum] = ["executions"]


class OpenStreams:
    """A count of the open streams of events, of GET /events and of rpcs: each holds a connection."""

    def __init__(self) -> None:
        self._count = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a stream within this context.

        Raises:
            ResourceExhausted: if there are `MOST_STREAMS` already.
        """
        if self._count >= MOST_STREAMS:
            raise ResourceExhausted(f"{MOST_STREAMS} streams of events are open already")
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


class EventRoutes:
    """The route of events."""

    def __init__(self, service: Service, *, clock: Clock, streams: OpenStreams) -> None:
        self._service = service
        self._clock = clock
        self._streams = streams

    def add_to(self, app: FastAPI) -> None:
        """Add the route to an application."""
        responses = described(shown.Refusal, 429) | _STREAM
        app.router.add_api_route(
            "/events",
            self.events,
            methods=["GET"],
            tags=TAGS,
            responses=responses,
            response_class=Response,
            dependencies=[Depends(self._counted)],
            route_class_override=StreamRoute,
        )

    async def events(
        self,
        service: Namespaced,
        *,
        task: Annotated[str, Query(description="Only events of this task")] = "",
        execution: Annotated[str, Query(description="Only events of the execution with this id")] = "",
        states: States = "",
        logs: Annotated[bool, Query(description="true: send log lines, too; for callers with the scope read")] = False,
    ) -> Response:
        """Stream events from now on: `transition`, `progress`, `log`, or `lost`, how many a slow reader missed."""
        watching = service.watching(task, states_of(states), execution_id=execution, log_lines=logs)
        headers = {"x-accel-buffering": "no"}  # nginx, for one, would buffer some kilobytes of events
        return StreamingResponse(self._stream(watching), media_type=MEDIA_TYPE, headers=headers)

    async def _stream(self, watching: AbstractContextManager[Subscription]) -> AsyncIterator[bytes]:
        with watching as subscription:
            yield b"retry: 1000\n\n"
            async for event in subscription.beating(self._clock, HEARTBEAT):
                yield b": nothing happened\n\n" if event is None else await self._written(event)

    async def _written(self, event: WatchEvent) -> bytes:
        return await self._service.aside.compute(partial(_written, event), weight=weight_of_event(event))

    async def _counted(self, service: Namespaced) -> AsyncIterator[None]:
        """Count a stream from before its answer begins until it ends: among all, and among those of its namespace."""
        with self._streams.counted():
            async with service.streaming():
                yield


def _written(event: WatchEvent) -> bytes:
    fields = event_json(event)
    if isinstance(event, Transition):
        fields["execution"] = execution_shown(event.execution)
    name = fields.pop("event")
    return f"event: {name}\ndata: {encoded(fields)}\n\n".encode()
