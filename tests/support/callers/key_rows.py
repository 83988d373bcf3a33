"""Every rpc about keys: as in rpc_rows.py."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from support.callers.rpc_rows import Row
from support.rigs.rig import START

from schedule_grpc.domain.access.key_text import new_key
from schedule_grpc.domain.access.keys import Identity, KeyInfo, KeyPage, NewKey
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import access_pb2 as pb

KEY = KeyInfo(
    name="reports-ci",
    id="0a1B2c3D",
    namespace="reports",
    grants=("write@reports", "run@reports/nightly-"),
    create_time=START,
    created_by="key:team-lead",
    rotate_time=START + timedelta(days=1),
    expire_time=START + timedelta(days=91),
    last_used_time=START + timedelta(days=2, microseconds=5),
    old_text_expire_time=START + timedelta(days=2),
)
REVOKED = KeyInfo(
    name="old",
    id="00000000",
    namespace="*",
    grants=("observe@*", "new-scope@reports"),
    create_time=START,
    created_by="socket",
    rotate_time=START,
    revoke_time=START + timedelta(hours=1),
)
"""With a grant that only a newer server knows."""
TEXT = new_key().text
KEY_ROWS = [
    Row(
        rpc="CreateKey",
        call=lambda client: client.create_key("reports-ci", ["write@reports"], lifetime=timedelta(days=90)),
        request=pb.CreateKeyRequest(
            name="reports-ci", grants=["write@reports"], lifetime=Duration(seconds=90 * 24 * 3600)
        ),
        answer=pb.CreateKeyResponse(key=protobuf.key_to(KEY), text=TEXT),
        value=NewKey(key=KEY, text=TEXT),
    ),
    Row(
        rpc="CreateKey",
        call=lambda client: client.create_key("forever", ()),
        request=pb.CreateKeyRequest(name="forever"),
        answer=pb.CreateKeyResponse(key=protobuf.key_to(REVOKED), text=TEXT),
        value=NewKey(key=REVOKED, text=TEXT),
    ),
    Row(
        rpc="ListKeys",
        call=lambda client: client.list_keys(
            namespace="reports",
            show_revoked=True,
            page_size=2,
            page_token="a",
        ),
        request=pb.ListKeysRequest(namespace="reports", show_revoked=True, page_size=2, page_token="a"),
        answer=pb.ListKeysResponse(keys=[protobuf.key_to(KEY), protobuf.key_to(REVOKED)], next_page_token="b"),
        value=KeyPage(keys=(KEY, REVOKED), next_page_token="b"),
    ),
    Row(
        rpc="RotateKey",
        call=lambda client: client.rotate_key("reports-ci", namespace="reports", overlap=timedelta(0)),
        request=pb.RotateKeyRequest(name="reports-ci", namespace="reports", overlap=Duration()),
        answer=pb.RotateKeyResponse(key=protobuf.key_to(KEY), text=TEXT),
        value=NewKey(key=KEY, text=TEXT),
    ),
    Row(
        rpc="RotateKey",
        call=lambda client: client.rotate_key("reports-ci"),
        request=pb.RotateKeyRequest(name="reports-ci"),
        answer=pb.RotateKeyResponse(key=protobuf.key_to(KEY), text=TEXT),
        value=NewKey(key=KEY, text=TEXT),
    ),
    Row(
        rpc="RevokeKey",
        call=lambda client: client.revoke_key("old", namespace="*"),
        request=pb.RevokeKeyRequest(name="old", namespace="*"),
        answer=protobuf.key_to(REVOKED),
        value=REVOKED,
    ),
    Row(
        rpc="RevokeKey",
        call=lambda client: client.revoke_key(text=TEXT),
        request=pb.RevokeKeyRequest(text=TEXT),
        answer=protobuf.key_to(REVOKED),
        value=REVOKED,
    ),
    Row(
        rpc="WhoAmI",
        call=lambda client: client.who_am_i(),
        request=pb.WhoAmIRequest(),
        answer=pb.WhoAmIResponse(
            name="key:reports-ci", grants=KEY.grants, namespace="reports", key=protobuf.key_to(KEY)
        ),
        value=Identity(name="key:reports-ci", grants=KEY.grants, namespace="reports", key=KEY),
    ),
    Row(
        rpc="WhoAmI",
        call=lambda client: client.who_am_i(),
        request=pb.WhoAmIRequest(),
        answer=pb.WhoAmIResponse(name="socket", grants=["admin@*"], namespace="default"),
        value=Identity(name="socket", grants=("admin@*",), namespace="default"),
    ),
]
