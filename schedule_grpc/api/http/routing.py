"""Query parameters that several routes read, and the descriptions of their answers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, cast

from fastapi import Header, Query, Request
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from schedule_grpc.api.http import shown
from schedule_grpc.api.http.envelope import AsWritten
from schedule_grpc.api.http.namespaces import service_of
from schedule_grpc.api.http.target import ApiRoute
from schedule_grpc.domain.execution import STATES, Execution, State
from schedule_grpc.domain.listing import TaskState
from schedule_grpc.domain.paging import MAX_PAGE_SIZE, Page
from schedule_grpc.errors import InvalidArgument, Violation
from schedule_grpc.formats.json_answers import execution_json
from schedule_grpc.violation import MOST_VIOLATIONS

if TYPE_CHECKING:
    from fastapi.dependencies.models import Dependant
    from fastapi.routing import APIRoute
    from starlette.responses import Response

Etag = Annotated[str, Query(description="If given, the call is refused unless the task still has this etag")]
PageToken = Annotated[
    str, Query(alias="pageToken", description="nextPageToken of an earlier call with the same filters")
]
Limit = Annotated[
    int, Query(ge=1, description=f"Executions in the answer, at most; above {MAX_PAGE_SIZE}: {MAX_PAGE_SIZE}")
]
States = Annotated[
    str, Query(description="Only these states or statuses, separated by commas: FAILED,MISSED or failed,missed")
]
TaskStates = Annotated[
    str, Query(description="Only tasks that are one of these: failing, running, waiting, disabled, overdue")
]
IdempotencyKey = Annotated[
    str, Header(alias="Idempotency-Key", max_length=128, description="Calls with the same key run the task once")
]

BODY = (408, 413, 415)
"""Statuses for a body that is too slow, too large, or of another type."""

_STATUSES = {State.SUCCEEDED: "success"}
_STATES = {(_STATUSES.get(state) or state.value).lower(): state for state in STATES} | {
    state.value.lower(): state for state in STATES
}


class View(StrEnum):
    """How much is told of each item of a list."""

    BASIC = "basic"
    FULL = "full"


@contextmanager
def named_as_asked(names: Mapping[str, str]) -> Iterator[None]:
    """Within this context refused fields are named as the query names them: by these names, where they differ.

    Raises:
        AsWritten: in place of an InvalidArgument that names one of them.
    """
    try:
        yield
    except InvalidArgument as error:
        if not any(each.field in names for each in error.violations):
            raise
        renamed = (Violation(field=names.get(each.field, each.field), reason=each.reason) for each in error.violations)
        raise AsWritten(*renamed, more=error.more) from None


SCHEMAS = "#/components/schemas/{model}"
"""Where the documentation has the schema of a model."""
REFUSAL: dict[str, Any] = {
    "content": {"application/json": {"schema": {"$ref": SCHEMAS.format(model=shown.Refusal.__name__)}}}
}
"""A refusal in the documentation. FastAPI would make a validator for each of 200 of them, if it were told the model."""


def described(answer: type[BaseModel], *refused: int, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Return a route's answers for the documentation: the one of success, its refusals, the refusals of any call."""
    answers: dict[int | str, dict[str, Any]] = dict.fromkeys(sorted((400, 401, 403, 500, 503, *refused)), REFUSAL)
    return {status: {"model": answer}} | answers


def execution_shown(execution: Execution) -> dict[str, Any]:
    """Return an execution's JSON, with the fields that callers of the older service know."""
    fields = execution_json(execution)
    return fields | {"status": _status(execution), "startedAt": fields.get("startedAt", fields["createdAt"])}


def page_of(limit: int, token: str) -> Page:
    """Return the page that a request asks for."""
    return Page(size=min(limit, MAX_PAGE_SIZE), token=token)


def states_of(text: str) -> frozenset[State]:
    """Return the states that a list names; the empty one names all.

    Raises:
        InvalidArgument: if one of its words is no state.
    """
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in _STATES:
            raise InvalidArgument.of("states", f"{word} is none of {', '.join(sorted(_STATES))}")
    return frozenset(_STATES[word] for word in words)


def task_states_of(text: str) -> frozenset[TaskState]:
    """Return the states of tasks that a list names; the empty one names all.

    Raises:
        InvalidArgument: if one of its words is no state of a task.
    """
    known = {state.value.lower(): state for state in TaskState}
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in known:
            raise InvalidArgument.of("state", f"{word} is none of {', '.join(known)}")
    return frozenset(known[word] for word in words)


async def refuse_unknown_questions(request: Request) -> None:
    """Refuse unknown and repeated query parameters: a typo must not change the answer in silence.

    Raises:
        AsWritten: naming the first parameters, and counting the others.
    """
    if not request.scope["query_string"]:
        return
    route = cast("APIRoute", request.scope["route"])
    known = sorted(_questions(route.dependant))
    given = [name for name, _ in request.query_params.multi_items()]
    wrong = [name for name in dict.fromkeys(given) if name not in known or given.count(name) > 1]
    if wrong:
        shown, more = wrong[:MOST_VIOLATIONS], wrong[MOST_VIOLATIONS:]
        raise AsWritten(*(Violation(field=name, reason=_why(name, known)) for name in shown), more=len(more))


class DirectRoute(ApiRoute):
    """A route that takes only the service and the texts of its path: FastAPI has nothing to read or check."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await refuse_unknown_questions(Request(scope, receive))
        answer: Response = await self.endpoint(service=service_of(Request(scope)), **scope["path_params"])
        await answer(scope, receive, send)


def _questions(dependant: "Dependant") -> Iterator[str]:
    """Yield the names of the query parameters that a route and its dependencies read."""
    yield from (field.alias for field in dependant.query_params)
    for each in dependant.dependencies:
        yield from _questions(each)


def _why(name: str, known: Sequence[str]) -> str:
    return "is given twice" if name in known else f"is unknown here ({_listed(known)})"


def _listed(names: Sequence[str]) -> str:
    return f"known: {', '.join(names)}" if names else "nothing is asked here"


def _status(execution: Execution) -> str:
    if execution.state is State.PENDING and execution.start_time is not None:
        return "running"  # between two attempts
    return (_STATUSES.get(execution.state) or execution.state.value).lower()
