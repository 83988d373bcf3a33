"""The durable state: the Store protocol speaks of operations; SqlStore is its one implementation, over any database."""

from schedule_grpc.store.claims import Claim, Claimed, ClaimRequest, Fired, Look, ManualRun, Slots, Submitted
from schedule_grpc.store.opening import found_version, is_shared, open_store, shown
from schedule_grpc.store.protocol import LeaseLine, Pruned, Replica, Review, Store
from schedule_grpc.store.schema import NEWEST, schema_version
from schedule_grpc.store.sql_store import SqlStore

__all__ = [
    "NEWEST",
    "Claim",
    "ClaimRequest",
    "Claimed",
    "Fired",
    "LeaseLine",
    "Look",
    "ManualRun",
    "Pruned",
    "Replica",
    "Review",
    "Slots",
    "SqlStore",
    "Store",
    "Submitted",
    "found_version",
    "is_shared",
    "open_store",
    "schema_version",
    "shown",
]
