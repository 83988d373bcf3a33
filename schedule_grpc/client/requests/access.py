"""One function per rpc about keys."""

from collections.abc import Sequence
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from schedule_grpc.client import responses
from schedule_grpc.client.call import Call, Pages
from schedule_grpc.client.values import given
from schedule_grpc.domain.access.keys import Identity, KeyInfo, KeyPage, NewKey
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.formats import protobuf
from schedule_grpc.formats.protobuf import request_of
from schedule_grpc.pb import access_pb2 as pb


def create_key(name: str, grants: Sequence[str], *, lifetime: timedelta | None = None) -> Call[NewKey]:
    """Make a key, and return it with its text, which no later call returns.

    Args:
        name: Its name, unique among the keys of its namespace that are not revoked.
        grants: What a caller with the key may do, such as ``["write@reports"]``.
        lifetime: After this time the key is not accepted; None: it does not expire.

    The call is never repeated by itself: if its answer is lost, revoke the key by its name and make another one.

    Raises:
        PermissionDenied: if this caller may not give one of the grants.
        KeyExists: if there is a key of that name.
        InvalidArgument: if a field cannot be accepted.
    """
    if isinstance(grants, str):
        raise InvalidArgument.of("grants", "is a text, not a list of texts")
    request = request_of(pb.CreateKeyRequest, name=name, grants=grants, lifetime=_duration("lifetime", lifetime))
    return Call(rpc="CreateKey", request=request, read=protobuf.new_key_from)


def list_keys(
    *, namespace: str = "", show_revoked: bool = False, page_size: int = 0, page_token: str = ""
) -> Call[KeyPage]:
    """Return one page of the keys that this caller manages, by name; 100 of them if ``page_size`` is 0.

    Raises:
        PermissionDenied: if this caller administers no namespace, or not the one that is asked for.
    """
    request = request_of(
        pb.ListKeysRequest, namespace=namespace, show_revoked=show_revoked, page_size=page_size, page_token=page_token
    )
    return Call(rpc="ListKeys", request=request, read=protobuf.key_page_from)


def keys(*, namespace: str = "", show_revoked: bool = False, page_size: int = 0) -> Pages[KeyInfo]:
    """Iterate over all keys that this caller manages, by name; pages are fetched as they are needed."""
    return Pages(
        page=lambda token: list_keys(
            namespace=namespace, show_revoked=show_revoked, page_size=page_size, page_token=token
        ),
        items=responses.keys_of,
    )


def rotate_key(name: str, *, namespace: str = "", overlap: timedelta | None = None) -> Call[NewKey]:
    """Give a key a new text, and return it with that text, which no later call returns.

    The present text is accepted for ``overlap`` longer, 24 hours if it is None; one from before an earlier rotation is
    not. The call is never repeated by itself: if its answer is lost, rotate the key again.

    Raises:
        KeyNotFound: if this caller manages no key of that name.
        InvalidArgument: if the overlap is longer than 30 days, or keys of several namespaces have the name.
    """
    request = request_of(pb.RotateKeyRequest, name=name, namespace=namespace, overlap=_duration("overlap", overlap))
    return Call(rpc="RotateKey", request=request, read=protobuf.new_key_from)


def revoke_key(name: str = "", *, namespace: str = "", text: str = "") -> Call[KeyInfo]:
    """Revoke a key, by its name or by its text: within a second no server accepts it any more.

    Raises:
        KeyNotFound: if this caller manages no key of that name, or no key has the text.
        InvalidArgument: if both or neither are given, or keys of several namespaces have the name.
    """
    request = request_of(pb.RevokeKeyRequest, name=name, namespace=namespace, text=text)
    return Call(rpc="RevokeKey", request=request, read=protobuf.key_from)


def who_am_i() -> Call[Identity]:
    """Return who the server takes this caller for, and what it may do."""
    return Call(rpc="WhoAmI", request=pb.WhoAmIRequest(), read=protobuf.identity_from)


def _duration(field: str, value: timedelta | None) -> Duration | None:
    span = given(timedelta, field, value)
    return None if span is None else protobuf.duration_to(span)
