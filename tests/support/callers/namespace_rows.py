"""Every rpc about namespaces: as in rpc_rows.py."""

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from support.callers.rpc_rows import Row
from support.rigs.rig import START

from schedule_grpc.domain.access.namespace import NO_LIMITS, Limits, Namespace, NamespacePage
from schedule_grpc.formats import protobuf
from schedule_grpc.pb import access_pb2 as pb

REPORTS = Namespace(
    name="reports",
    handlers=("reports.*", "send-report"),
    limits=Limits(max_tasks=50, running_share=None),
    create_time=START,
    version=3,
)
DEFAULT = Namespace(name="default", limits=NO_LIMITS, create_time=START)
TOLD, DEFAULT_TOLD = protobuf.namespace_to(REPORTS), protobuf.namespace_to(DEFAULT)
NAMESPACE_ROWS = [
    Row(
        rpc="CreateNamespace",
        call=lambda client: client.create_namespace(
            "reports", handlers=["reports.*", "send-report"], limits={"max_tasks": 50, "running_share": None}
        ),
        request=pb.CreateNamespaceRequest(
            name="reports",
            handlers=["reports.*", "send-report"],
            limits=pb.NamespaceLimits(max_tasks=50, running_share=-1),
        ),
        answer=TOLD,
        value=REPORTS,
    ),
    Row(
        rpc="CreateNamespace",
        call=lambda client: client.create_namespace("reports"),
        request=pb.CreateNamespaceRequest(name="reports", handlers=["*"], limits=pb.NamespaceLimits()),
        answer=TOLD,
        value=REPORTS,
    ),
    Row(
        rpc="UpdateNamespace",
        call=lambda client: client.update_namespace(
            "reports", handlers=[], limits={"max_streams": None, "runs_per_minute": 0}, etag="2"
        ),
        request=pb.UpdateNamespaceRequest(
            name="reports",
            limits=pb.NamespaceLimits(max_streams=-1, runs_per_minute=0),
            etag="2",
            update_mask=FieldMask(paths=["handlers", "limits.max_streams", "limits.runs_per_minute"]),
        ),
        answer=TOLD,
        value=REPORTS,
    ),
    Row(
        rpc="UpdateNamespace",
        call=lambda client: client.update_namespace("default", limits=NO_LIMITS),
        request=pb.UpdateNamespaceRequest(
            name="default",
            limits=DEFAULT_TOLD.limits,
            update_mask=FieldMask(paths=[f"limits.{each.name}" for each in pb.NamespaceLimits.DESCRIPTOR.fields]),
        ),
        answer=DEFAULT_TOLD,
        value=DEFAULT,
    ),
    Row(
        rpc="ListNamespaces",
        call=lambda client: client.list_namespaces(page_size=2, page_token="a"),
        request=pb.ListNamespacesRequest(page_size=2, page_token="a"),
        answer=pb.ListNamespacesResponse(namespaces=[DEFAULT_TOLD, TOLD], next_page_token="b"),
        value=NamespacePage(namespaces=(DEFAULT, REPORTS), next_page_token="b"),
    ),
    Row(
        rpc="DeleteNamespace",
        call=lambda client: client.delete_namespace("reports", etag="3"),
        request=pb.DeleteNamespaceRequest(name="reports", etag="3"),
        answer=Empty(),
        value=None,
    ),
]
