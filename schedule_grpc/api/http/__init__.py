"""The HTTP interface: JSON as callers of the older service know it, with metrics, documentation and live events.

`api/http_interface.py` loads this package in a thread, after the engine has started the executions that waited: FastAPI
takes longer to load than the rest of the server.
"""

from schedule_grpc.api.http.application import application
from schedule_grpc.api.http.guard import Access, Guard
from schedule_grpc.api.http.prefix import BelowPrefix
from schedule_grpc.api.http.server import HttpServer
from schedule_grpc.api.http.traced import Traced, noting_route

__all__ = ["Access", "BelowPrefix", "Guard", "HttpServer", "Traced", "application", "noting_route"]
