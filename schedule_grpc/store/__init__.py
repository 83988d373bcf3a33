"""The durable state: the Store protocol speaks of operations; SqlStore is its one implementation, over any database."""

from schedule_grpc.store.protocol import Claim, ClaimRequest, Look, Store
from schedule_grpc.store.sql_store import SqlStore, open_store

__all__ = ["Claim", "ClaimRequest", "Look", "SqlStore", "Store", "open_store"]
