"""The durable state of the service: a Store speaks of operations, over any database."""

from schedule_grpc.store.audit_check import check_audit
from schedule_grpc.store.claims import Claim, Claimed, ClaimRequest, Fired, Look, ManualRun, Slots, Submitted
from schedule_grpc.store.lease_line import LeaseLine
from schedule_grpc.store.opening import found_version, is_shared, open_store, shown
from schedule_grpc.store.operations.namespaces import NamespaceInUse
from schedule_grpc.store.operations.retention_round import Pruned
from schedule_grpc.store.operations.reviews import Review
from schedule_grpc.store.operations.tasks import Registered
from schedule_grpc.store.replica import Replica
from schedule_grpc.store.schema import NEWEST, schema_version
from schedule_grpc.store.store import Store

__all__ = [
    "NEWEST",
    "Claim",
    "ClaimRequest",
    "Claimed",
    "Fired",
    "LeaseLine",
    "Look",
    "ManualRun",
    "NamespaceInUse",
    "Pruned",
    "Registered",
    "Replica",
    "Review",
    "Slots",
    "Store",
    "Submitted",
    "check_audit",
    "found_version",
    "is_shared",
    "open_store",
    "schema_version",
    "shown",
]
