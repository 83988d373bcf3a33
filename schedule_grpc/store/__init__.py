"""The durable state of the service: a Store speaks of operations, over any database."""

from schedule_grpc.store.audit_check import check_audit
from schedule_grpc.store.claims import (
    Claim,
    Claimed,
    ClaimRequest,
    Fired,
    Given,
    Group,
    Look,
    ManualRun,
    Slots,
    Submitted,
    Taker,
)
from schedule_grpc.store.lease_line import LeaseLine
from schedule_grpc.store.logbook import LogBook, LogPolicy
from schedule_grpc.store.opening import found_version, is_shared, open_store, shown
from schedule_grpc.store.operations.listing import Found
from schedule_grpc.store.operations.namespaces import NamespaceInUse
from schedule_grpc.store.operations.retention_round import Pruned
from schedule_grpc.store.operations.reviews import Review
from schedule_grpc.store.operations.summary import Failure
from schedule_grpc.store.operations.tasks import Registered
from schedule_grpc.store.operations.workers import Key
from schedule_grpc.store.recorder import Answer, Recorder
from schedule_grpc.store.replica import Replica
from schedule_grpc.store.schema import NEWEST, schema_version
from schedule_grpc.store.store import Store

__all__ = [
    "NEWEST",
    "Answer",
    "Claim",
    "ClaimRequest",
    "Claimed",
    "Failure",
    "Fired",
    "Found",
    "Given",
    "Group",
    "Key",
    "LeaseLine",
    "LogBook",
    "LogPolicy",
    "Look",
    "ManualRun",
    "NamespaceInUse",
    "Pruned",
    "Recorder",
    "Registered",
    "Replica",
    "Review",
    "Slots",
    "Store",
    "Submitted",
    "Taker",
    "check_audit",
    "found_version",
    "is_shared",
    "open_store",
    "schema_version",
    "shown",
]
