"""Namespaces and their settings between our values and the messages of access.proto."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from schedule_grpc.domain.access.namespace import Limits, Namespace, NamespacePage, NamespaceUpdate
from schedule_grpc.errors import InvalidArgument, Violation
from schedule_grpc.formats.protobuf.values import instant_from, instant_to, request_of
from schedule_grpc.pb import access_pb2 as pb

NO_LIMIT = -1
"""Stands in messages for the lack of a limit."""
MOST_PATHS = 100
"""Paths of one mask."""
SHOWN = 40
"""Characters of a refused path that an error repeats."""

_LIMITS = tuple(each.name for each in fields(Limits))
_PATHS = {f"limits.{name}": name for name in _LIMITS}


def namespace_to(namespace: Namespace) -> pb.Namespace:
    """Return the message of a namespace."""
    return pb.Namespace(
        name=namespace.name,
        handlers=namespace.handlers,
        limits=limits_to({name: getattr(namespace.limits, name) for name in _LIMITS}),
        create_time=instant_to(namespace.create_time),
        etag=namespace.etag,
    )


def namespace_from(message: pb.Namespace) -> Namespace:
    """Return the namespace of a server's message."""
    return Namespace(
        name=message.name,
        handlers=tuple(message.handlers),
        limits=limits_from(message.limits),
        create_time=instant_from(message.create_time),
        version=int(message.etag),
    )


def namespace_page_to(page: NamespacePage) -> pb.ListNamespacesResponse:
    """Return the message of a page of namespaces."""
    return pb.ListNamespacesResponse(
        namespaces=map(namespace_to, page.namespaces), next_page_token=page.next_page_token
    )


def namespace_page_from(message: pb.ListNamespacesResponse) -> NamespacePage:
    """Return the page of a server's message."""
    return NamespacePage(
        namespaces=tuple(map(namespace_from, message.namespaces)), next_page_token=message.next_page_token
    )


def limits_to(limits: Mapping[str, Any]) -> pb.NamespaceLimits:
    """Return the message of limits by name; None is no limit.

    Raises:
        InvalidArgument: for a value that a message cannot hold.
    """
    return request_of(
        pb.NamespaceLimits, **{name: NO_LIMIT if value is None else value for name, value in limits.items()}
    )


def limits_from(message: pb.NamespaceLimits) -> Limits:
    """Return the limits of a message; one that is not set has its default."""
    return Limits(**{name: _limit(message, name) for name in _LIMITS if _is_set(message, name)})


def namespace_update_from(request: pb.UpdateNamespaceRequest) -> NamespaceUpdate:
    """Return the update of a caller's request.

    Raises:
        InvalidArgument: if the mask names a setting that there is none of.
    """
    named = tuple(request.update_mask.paths[: MOST_PATHS + 1])
    if len(named) > MOST_PATHS:
        raise InvalidArgument.of("update_mask", f"names more than {MOST_PATHS} fields")
    paths = set(named) or _set_in(request)
    if "*" in paths:
        paths = {"handlers", "limits"}
    if unknown := sorted(paths - {"handlers", "limits", *_PATHS}):
        known = ", ".join(("handlers", "limits", *_PATHS))
        reasons = (f"{path[:SHOWN]!r} is not a setting that can be changed: {known}" for path in unknown)
        raise InvalidArgument(*(Violation(field="update_mask", reason=reason) for reason in reasons))
    default = Limits()
    return NamespaceUpdate(
        name=request.name,
        handlers=tuple(request.handlers) if "handlers" in paths else None,
        limits={
            name: _limit(request.limits, name) if _is_set(request.limits, name) else getattr(default, name)
            for path, name in _PATHS.items()
            if path in paths or "limits" in paths
        },
        etag=request.etag,
    )


def namespace_update_to(update: NamespaceUpdate) -> pb.UpdateNamespaceRequest:
    """Return the request of an update.

    Raises:
        InvalidArgument: for a value that a request cannot hold.
    """
    request = request_of(pb.UpdateNamespaceRequest, name=update.name, etag=update.etag, limits=limits_to(update.limits))
    if update.handlers is not None:
        request.handlers.extend(update.handlers)
        request.update_mask.paths.append("handlers")
    request.update_mask.paths.extend(f"limits.{name}" for name in update.limits)
    return request


def _set_in(request: pb.UpdateNamespaceRequest) -> set[str]:
    handlers = {"handlers"} if request.handlers else set()
    return handlers | {path for path, name in _PATHS.items() if _is_set(request.limits, name)}


def _is_set(message: pb.NamespaceLimits, name: str) -> bool:
    return message.HasField(name)  # type: ignore[arg-type]


def _limit(message: pb.NamespaceLimits, name: str) -> Any:
    value = getattr(message, name)
    return None if value == NO_LIMIT else value
