"""Keys and callers to messages of access.proto, and back."""

from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from schedule_grpc.domain.access.keys import (
    DEFAULT_OVERLAP,
    Identity,
    KeyFilter,
    KeyInfo,
    KeyPage,
    KeyRequest,
    NewKey,
)
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.formats.protobuf.values import Reader, instant_from, instant_to
from schedule_grpc.pb import access_pb2 as pb

TimeField: TypeAlias = Literal["expire_time", "revoke_time", "last_used_time", "old_text_expire_time"]


def key_to(key: KeyInfo) -> pb.Key:
    """Return the message of a key."""
    return pb.Key(
        name=key.name,
        id=key.id,
        namespace=key.namespace,
        grants=key.grants,
        create_time=instant_to(key.create_time),
        created_by=key.created_by,
        rotate_time=instant_to(key.rotate_time),
        expire_time=_timestamp(key.expire_time),
        revoke_time=_timestamp(key.revoke_time),
        last_used_time=_timestamp(key.last_used_time),
        old_text_expire_time=_timestamp(key.old_text_expire_time),
    )


def key_from(message: pb.Key) -> KeyInfo:
    """Return the key in a server's message."""
    return KeyInfo(
        id=message.id,
        name=message.name,
        namespace=message.namespace,
        grants=tuple(message.grants),
        create_time=instant_from(message.create_time),
        rotate_time=instant_from(message.rotate_time),
        created_by=message.created_by,
        expire_time=_instant(message, "expire_time"),
        revoke_time=_instant(message, "revoke_time"),
        last_used_time=_instant(message, "last_used_time"),
        old_text_expire_time=_instant(message, "old_text_expire_time"),
    )


def new_key_from(message: pb.CreateKeyResponse | pb.RotateKeyResponse) -> NewKey:
    """Return the key and its text in a server's answer."""
    return NewKey(key=key_from(message.key), text=message.text)


def key_page_to(page: KeyPage) -> pb.ListKeysResponse:
    """Return the message of a page of keys."""
    return pb.ListKeysResponse(keys=map(key_to, page.keys), next_page_token=page.next_page_token)


def key_page_from(message: pb.ListKeysResponse) -> KeyPage:
    """Return the page of keys in a server's answer."""
    return KeyPage(keys=tuple(map(key_from, message.keys)), next_page_token=message.next_page_token)


def key_request_from(message: pb.CreateKeyRequest) -> KeyRequest:
    """Return the key that a caller wants.

    Raises:
        InvalidArgument: if the lifetime is no duration.
    """
    reader = Reader()
    lifetime = reader.duration(message.lifetime, "lifetime") if message.HasField("lifetime") else None
    reader.check()
    return KeyRequest(name=message.name, grants=tuple(message.grants), lifetime=lifetime)


def key_filter_from(message: pb.ListKeysRequest) -> KeyFilter:
    """Return the keys that a caller asks for."""
    return KeyFilter(namespace=message.namespace, show_revoked=message.show_revoked)


def overlap_from(message: pb.RotateKeyRequest) -> timedelta:
    """Return the overlap of a rotation.

    Raises:
        InvalidArgument: if it is no duration.
    """
    if not message.HasField("overlap"):
        return DEFAULT_OVERLAP
    reader = Reader()
    overlap = reader.duration(message.overlap, "overlap")
    reader.check()
    return DEFAULT_OVERLAP if overlap is None else overlap


def check_revocation(message: pb.RevokeKeyRequest) -> None:
    """Check that a request names a key by its name or by its text, and not by both.

    Raises:
        InvalidArgument: if it does not.
    """
    if bool(message.name) == bool(message.text):
        raise InvalidArgument.of("name", "either the name or the text of a key is required")
    if message.namespace and message.text:
        raise InvalidArgument.of("namespace", "goes with a name; a text names its key alone")


def identity_to(identity: Identity) -> pb.WhoAmIResponse:
    """Return the message of a caller."""
    return pb.WhoAmIResponse(
        name=identity.name,
        grants=identity.grants,
        namespace=identity.namespace,
        key=None if identity.key is None else key_to(identity.key),
    )


def identity_from(message: pb.WhoAmIResponse) -> Identity:
    """Return the caller in a server's answer."""
    return Identity(
        name=message.name,
        grants=tuple(message.grants),
        namespace=message.namespace,
        key=key_from(message.key) if message.HasField("key") else None,
    )


def _timestamp(instant: datetime | None) -> Timestamp | None:
    return None if instant is None else instant_to(instant)


def _instant(message: pb.Key, field: TimeField) -> datetime | None:
    return instant_from(getattr(message, field)) if message.HasField(field) else None
