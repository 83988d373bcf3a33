"""The namespace of a request: a header names it, or a query parameter where a caller cannot send headers."""

from typing import Annotated

from fastapi import Depends, Header, Query, Request

from schedule_grpc.access.current import current_call
from schedule_grpc.api.http.envelope import AsWritten
from schedule_grpc.domain.access.namespace import NAMESPACE, checked_namespace
from schedule_grpc.errors import Violation
from schedule_grpc.service import Service

HEADER = "Schedule-Namespace"
PARAMETER = "namespace"
_MEANING = "The namespace of the call; unset: the one that the caller's key names, or default"
_FORM = {"pattern": f"^{NAMESPACE.pattern}$"}


def service_of(request: Request) -> Service:
    """Return the service as a request may use it, in the namespace that it names; in its caller's if it names none.

    Raises:
        InvalidArgument: if the request names two, or a text that is no namespace's name.
        PermissionDenied: if the caller may not make such a call there.
    """
    service: Service = request.app.state.service
    return service.seen_by(current_call().permit(namespace_of(request)))


def namespace_of(request: Request) -> str:
    """Return the namespace that a request names; empty: it names none.

    Raises:
        InvalidArgument: if the request names two, or a text that is no namespace's name.
    """
    asked = set(request.headers.getlist(HEADER))
    if request.scope["query_string"]:  # parsing even an empty one takes longer
        asked.update(request.query_params.getlist(PARAMETER))
    if len(asked) > 1:
        raise AsWritten(Violation(field=PARAMETER, reason=f"is given as {' and as '.join(sorted(asked))}"))
    return checked_namespace(PARAMETER, asked.pop()) if asked else ""


async def _service_of(
    request: Request,
    namespace: Annotated[  # noqa: ARG001 (for the description; `service_of` reads it, repeated ones too)
        str | None, Query(alias=PARAMETER, description=f"{_MEANING}; as the header", json_schema_extra=_FORM)
    ] = None,
    header: Annotated[  # noqa: ARG001 (the same)
        str | None, Header(alias=HEADER, description=_MEANING, json_schema_extra=_FORM)
    ] = None,
) -> Service:
    return service_of(request)


Namespaced = Annotated[Service, Depends(_service_of)]
"""The service, as it works in the namespace of the request."""
