"""A call of the service as a value: the rpc, its request, and the function that reads its response.

The two clients differ in how they wait, in a thread or in an event loop; everything else is here.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Generic, TypeVar, get_args

import grpc
from google.protobuf.message import Message
from grpc_status import rpc_status

from schedule_grpc.client.unreachable import in_words
from schedule_grpc.errors import ScheduleError, Unavailable
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import schedule_pb2, worker_pb2

T = TypeVar("T")
M = TypeVar("M", bound=Callable[..., Any])
R = TypeVar("R", bound=Message)

_SERVICES = (
    schedule_pb2.DESCRIPTOR.services_by_name["ScheduleService"],
    worker_pb2.DESCRIPTOR.services_by_name["WorkerService"],
)
_REQUESTS = [rpc.input_type for service in _SERVICES for rpc in service.methods]
_NAMESPACED = frozenset(each.full_name for each in _REQUESTS if "namespace" in each.fields_by_name)
"""The requests that a client completes; those of AccessService name a namespace as what they concern."""

_CANCELLED_HERE = ("Locally cancelled by application!", "Channel closed!")
"""gRPC's texts for calls that this program cancelled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call(Generic[T]):
    """A call that has not been made yet.

    ``read`` turns the rpc's response into our value; of a streaming rpc, each of its responses. A call that ``waits``
    has no deadline: its end depends on the work of a handler.
    """

    rpc: str
    request: Message
    read: Callable[[Any], T]
    waits: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Pages(Generic[T]):
    """A list that is read page by page.

    ``page`` makes the call for a page token; empty tokens begin and end the list. ``items`` returns a page's items.
    """

    page: Callable[[str], Call[Any]]
    items: Callable[[Any], tuple[T, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Run(Generic[T]):
    """A run by hand whose end the caller waits for, beyond restarts of the server.

    ``start`` records it, and returns its present state when it is called again; ``end`` waits for its end, None for a
    detached run. Two calls, because a client that has the first answer knows that the execution exists: it is worth
    reconnecting for.
    """

    start: Call[T]
    end: Call[T] | None
    is_over: Callable[[T], bool]


def failure(error: grpc.RpcError | None, *, closed: bool) -> ScheduleError:
    """Return the error to raise for a call that failed, or was cut off or never made because its client is closed."""
    if closed or error is None:
        return Unavailable("The client is closed")
    found = protobuf.error_from(error)
    is_grpcs_own = rpc_status.from_call(error) is None
    if is_grpcs_own and (isinstance(found, Unavailable) or _was_cancelled_there(error)):
        return Unavailable(in_words(found.message))
    return found


def _was_cancelled_there(error: grpc.RpcError) -> bool:
    """Return whether the other side cancelled a call: a gRPC server that stops does, where its handlers never saw it.

    https://github.com/grpc/grpc/issues/41785
    """
    return error.code() is grpc.StatusCode.CANCELLED and error.details() not in _CANCELLED_HERE


def within(namespace: str, request: R) -> R:
    """Return a request that names the namespace, if it can name one; the empty text leaves the choice to the server."""
    if namespace and request.DESCRIPTOR.full_name in _NAMESPACED:
        request.namespace = namespace  # type: ignore[attr-defined]
    return request


def answers(make: Callable[..., Any], shape: Callable[[Any], Any] = lambda answer: answer) -> Callable[[M], M]:
    """Give a method the name, docstring and signature of the request function ``make``, and its own return type.

    With ``functools.wraps`` alone, help() would show a function without ``self`` that returns a Call. ``shape`` turns
    the type of the call's answer into that of the method's.
    """

    def dressed(method: M) -> M:
        signature = inspect.signature(make)
        returned = shape(get_args(signature.return_annotation)[0])
        me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = [me, *signature.parameters.values()]
        shown: Any = wraps(make)(method)
        shown.__signature__ = signature.replace(parameters=parameters, return_annotation=returned)
        shown.__annotations__ = {**make.__annotations__, "return": returned}
        return method

    return dressed
