"""Prometheus metrics: instruments that listen to the hub, hooks where there is no event, and what a census counts.

Operators build on names and labels: docs/monitoring.md lists them, and they are only ever added to.
"""

from schedule_grpc.metrics.bounds import OTHER, Bounds
from schedule_grpc.metrics.exposition import exposition
from schedule_grpc.metrics.instruments import Metrics

__all__ = ["OTHER", "Bounds", "Metrics", "exposition"]
