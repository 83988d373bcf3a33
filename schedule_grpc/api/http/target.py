"""The target of a request: decided once, by the route that matches, and passed to the application with the request.

The guard and the router must read a path in the same way: a path that the guard does not recognise and the router
serves (``/__scheduled%0a``) would pass every check. So the router here serves the route that the guard decided on.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from schedule_grpc.api.http.fields import model_in, refuse_unknown_fields
from schedule_grpc.api.http.json_body import read_json

READING = frozenset({"GET", "HEAD", "OPTIONS"})


class ApiRoute(APIRoute):
    """A route, with the properties that the guard checks beside its path and methods.

    `read_json` reads its body before FastAPI does; large bodies are read aside.
    """

    acts: ClassVar[bool] = False
    """Its GET changes something."""
    lasts: ClassVar[bool] = False
    """Its answer is a stream without an end."""
    probes: ClassVar[bool] = False
    """Load balancers and supervisors probe it: it answers without a Host header, and however crowded the server is."""
    for_everybody: ClassVar[bool] = False
    """Its answer is the same for every caller, under whatever name the server is called: no gate, no names of hosts."""

    of_session: ClassVar[bool] = False
    """Its POST changes nothing but the browser's session."""

    def refused(self, request: Request, refusal: Response) -> Response:  # noqa: ARG002 (pages show both)
        """Return a refusal in the form that this route's callers read: JSON as it is, unless it is a page's."""
        return refusal

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function that reads the body, and then answers a request as FastAPI does."""
        answer = super().get_route_handler()
        model = None if self.body_field is None else model_in(self.body_field.field_info.annotation)
        if model is None:
            return answer

        async def read_and_answer(request: Request) -> Response:
            return await answer(await _read(request, model))

        return read_and_answer


class _ReadRequest(Request):
    """A request whose body was read as JSON already."""

    value: Any = None

    async def json(self) -> Any:
        """Return the body's value."""
        return self.value


async def _read(request: Request, model: type[BaseModel]) -> Request:
    read = _ReadRequest(request.scope, request.receive)
    if body := await read.body():
        read.value = await request.app.state.aside.compute(partial(_value, body, model), weight=len(body))
    return read


def _value(body: bytes, model: type[BaseModel]) -> Any:
    value = read_json(body)
    refuse_unknown_fields(model, value)
    return value


class ActingRoute(ApiRoute):
    """A route whose GET runs tasks."""

    acts = True


class StreamRoute(ApiRoute):
    """A route that answers with a stream of events."""

    lasts = True


class ProbeRoute(ApiRoute):
    """A route for load balancers and supervisors."""

    probes = True


class PodProbeRoute(ProbeRoute):
    """A route for supervisors that call by an address that the server does not know, as kubelets do."""

    for_everybody = True


class RpcRoute(ApiRoute):
    """The path of an rpc, for Connect and gRPC-Web. It admits its caller and takes its body itself."""

    def __init__(self, rpc: str, app: ASGIApp, *, methods: Sequence[str]) -> None:
        """Take the rpc's full name, which is its path, and the application that answers its calls."""
        super().__init__(rpc, _answered_by_app, methods=[*methods], include_in_schema=False)
        self._rpc_app = app

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        await self._rpc_app(scope, receive, send)


def _answered_by_app() -> None:
    """Stand in for the function that FastAPI expects."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The route of a request; None if no route has its path, or none its method."""

    methods: frozenset[str] = frozenset()
    """Methods of all routes with the path; empty if there is none."""
    route: ApiRoute | None = None
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def probes(self) -> bool:
        """Tell whether the request is a supervisor's."""
        return self.route is not None and self.route.probes

    @property
    def for_everybody(self) -> bool:
        """Tell whether the answer is the same for every caller, and under every name of the server."""
        return self.route is not None and self.route.for_everybody

    def changes_by(self, method: str) -> bool:
        """Tell whether a request with this method may change something."""
        return method not in READING or (method == "GET" and self.route is not None and self.route.acts)

    def hand_to(self, call: Scope) -> None:
        """Write the route into a request's scope, where `serve` finds it."""
        call["route"], call["path_params"] = self.route, self.parameters


def target_of(routes: Sequence[BaseRoute], method: str, path: str) -> Target:
    """Return the target of a request. A HEAD has the route of GET; trailing slashes do not matter."""
    routed_method = "GET" if method == "HEAD" else method
    plain = path.rstrip("/") or "/"
    methods: frozenset[str] = frozenset()
    chosen: dict[str, Any] = {}
    for route in routes:
        # fullmatch: the `$` of a pattern alone would let a newline follow.
        if not isinstance(route, ApiRoute) or (found := route.path_regex.fullmatch(plain)) is None:
            continue
        offered = frozenset(route.methods or ())
        methods |= offered
        if routed_method in offered and not chosen:
            chosen = {"route": route, "parameters": found.groupdict()}
    return Target(methods=methods, **chosen)


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a request by the route that the guard decided on; this is the application's router."""
    route: ApiRoute = scope["route"]
    await route.handle(scope, receive, send)
