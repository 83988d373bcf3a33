"""The HTTP interface: JSON as callers of the older service know it, with metrics, documentation and live events.

Loaded by `api/http_interface.py` in a thread, once the engine has started what waited for the server: FastAPI takes
longer to load than the rest.
"""

from schedule_grpc.api.http.application import application
from schedule_grpc.api.http.guard import Access, Guard
from schedule_grpc.api.http.server import HttpServer

__all__ = ["Access", "Guard", "HttpServer", "application"]
