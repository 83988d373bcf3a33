"""One function per rpc about namespaces."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from schedule_grpc.client import responses
from schedule_grpc.client.call import Call, Pages
from schedule_grpc.domain.access.namespace import Limits, Namespace, NamespacePage, NamespaceUpdate
from schedule_grpc.errors import InvalidArgument, Violation
from schedule_grpc.formats import protobuf
from schedule_grpc.formats.protobuf import request_of
from schedule_grpc.pb import access_pb2 as pb

_LIMITS = tuple(each.name for each in fields(Limits))


def create_namespace(
    name: str, *, handlers: Sequence[str] = ("*",), limits: Limits | Mapping[str, float | None] | None = None
) -> Call[Namespace]:
    """Create a namespace. Only callers with ``admin@*`` can call this and the other methods about namespaces.

    Args:
        name: A lower-case letter, then up to 62 lower-case letters, digits or ``-``.
        handlers: The handlers that tasks of the namespace may name: names, and beginnings of names followed by ``*``.
            A built-in handler is allowed by its whole name only.
        limits: How much it may have and do, such as ``{"max_tasks": 50}``; None is no limit, a limit that is not given
            has its default.

    Raises:
        NamespaceExists: if there is a namespace of that name.
        PermissionDenied: if this caller does not have ``admin@*``.
        InvalidArgument: with a violation for every field that is wrong.
    """
    if not handlers:  # which the contract has stand for `*`
        raise InvalidArgument.of("handlers", 'is empty: ["*"] allows every handler')
    request = request_of(
        pb.CreateNamespaceRequest,
        name=name,
        handlers=_patterns(handlers),
        limits=_limits({} if limits is None else limits),
    )
    return Call(rpc="CreateNamespace", request=request, read=protobuf.namespace_from)


def update_namespace(
    name: str,
    *,
    handlers: Sequence[str] | None = None,
    limits: Limits | Mapping[str, float | None] | None = None,
    etag: str = "",
) -> Call[Namespace]:
    """Change settings of a namespace; None leaves the handlers as they are, and so does a limit that is not given.

    Its tasks stay: one whose handler is not allowed any more goes on, and cannot be registered or changed.

    Raises:
        NamespaceNotFound: if there is no namespace of that name.
        EtagMismatch: if ``etag`` is given and the namespace has changed.
        PermissionDenied, InvalidArgument: as `create_namespace`.
    """
    chosen = _by_name({} if limits is None else limits)
    _limits(chosen)
    update = NamespaceUpdate(
        name=name, handlers=None if handlers is None else tuple(_patterns(handlers)), limits=chosen, etag=etag
    )
    return Call(rpc="UpdateNamespace", request=protobuf.namespace_update_to(update), read=protobuf.namespace_from)


def list_namespaces(*, page_size: int = 0, page_token: str = "") -> Call[NamespacePage]:
    """Return one page of the namespaces, in the order of their names; 100 of them if ``page_size`` is 0."""
    request = request_of(pb.ListNamespacesRequest, page_size=page_size, page_token=page_token)
    return Call(rpc="ListNamespaces", request=request, read=protobuf.namespace_page_from)


def namespaces(*, page_size: int = 0) -> Pages[Namespace]:
    """Iterate over all namespaces, in the order of their names; pages are fetched as they are needed."""
    return Pages(
        page=lambda token: list_namespaces(page_size=page_size, page_token=token), items=responses.namespaces_of
    )


def delete_namespace(name: str, *, etag: str = "") -> Call[None]:
    """Delete a namespace in which nothing is left.

    Raises:
        NamespaceNotFound: if there is no namespace of that name.
        NamespaceNotEmpty: if it has tasks, or the history of deleted ones; of the namespace ``default``.
        EtagMismatch: if ``etag`` is given and the namespace has changed.
        PermissionDenied: as `create_namespace`.
    """
    request = request_of(pb.DeleteNamespaceRequest, name=name, etag=etag)
    return Call(rpc="DeleteNamespace", request=request, read=responses.nothing)


def _patterns(handlers: Sequence[str]) -> Sequence[str]:
    if isinstance(handlers, str):
        raise InvalidArgument.of("handlers", "is a text, not a list of texts")
    return handlers


def _by_name(limits: Limits | Mapping[str, float | None]) -> Mapping[str, Any]:
    """Return limits by their names.

    Raises:
        InvalidArgument: if there is no limit of a name.
    """
    found = asdict(limits) if isinstance(limits, Limits) else dict(limits)
    unknown = [name for name in found if name not in _LIMITS]
    if unknown:
        reason = f"there is no such limit; the limits are {', '.join(_LIMITS)}"
        raise InvalidArgument(*(Violation(field=f"limits.{name}", reason=reason) for name in unknown))
    return found


def _limits(limits: Limits | Mapping[str, float | None]) -> pb.NamespaceLimits:
    """Return the message of limits.

    Raises:
        InvalidArgument: for a limit that does not exist, and for a value that a message cannot hold.
    """
    try:
        return protobuf.limits_to(_by_name(limits))
    except InvalidArgument as error:
        raise InvalidArgument(
            *(
                Violation(field=f"limits.{each.field.removeprefix('limits.')}", reason=each.reason)
                for each in error.violations
            )
        ) from None
