"""One small asynchronous adapter per database engine, and the only place that knows a driver.

An *operation* is a generator: it yields a statement with its parameters and receives the rows; nothing else happens
between. So the adapter may drive a whole batch of them in one transaction on one thread, and no other task can come
between two statements of one operation.
"""

from schedule_grpc.database.migration import Migration, load_migrations
from schedule_grpc.database.observed import ObservedDatabase
from schedule_grpc.database.operation import (
    ByPlace,
    Database,
    Factory,
    Lane,
    OnCommit,
    Operation,
    Parameters,
    Row,
    Rows,
    Statement,
    Together,
    count,
    together,
    together_with,
)
from schedule_grpc.database.query import Queries, load_queries
from schedule_grpc.database.set_query import SetQuery, Table
from schedule_grpc.database.sqlite.database import SqliteDatabase
from schedule_grpc.database.sqlite.prepare import look, read_file

__all__ = [
    "ByPlace",
    "Database",
    "Factory",
    "Lane",
    "Migration",
    "ObservedDatabase",
    "OnCommit",
    "Operation",
    "Parameters",
    "Queries",
    "Row",
    "Rows",
    "SetQuery",
    "SqliteDatabase",
    "Statement",
    "Table",
    "Together",
    "count",
    "load_migrations",
    "load_queries",
    "look",
    "read_file",
    "together",
    "together_with",
]
