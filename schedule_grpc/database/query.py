"""Queries stand in .sql files, each with a name and a sentence.

::

-- name: find_task
-- The living task of a name.
SELECT ...

One that names the columns of rows is run once for many of them: see `set_query`.
"""

import re
from importlib.resources import files
from typing import Any

from schedule_grpc.database.set_query import SetQuery, set_query

_ROWS = re.compile(r"^-- rows: (?P<columns>.*)$", re.MULTILINE)
_HEAD = re.compile(r"^-- name: (?P<name>[a-z_]+)\n", re.MULTILINE)


class Queries:
    """The statements of .sql files, as attributes by their names."""

    def __init__(self, statements: dict[str, str | SetQuery]) -> None:
        self._statements = statements

    def __getattr__(self, name: str) -> Any:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"no query is named {name}") from None


def load_queries(package: str, *file_names: str) -> Queries:
    """Return the queries of a package's .sql files.

    Raises:
        ValueError: if two have the same name, or one over rows has not the form that `set_query` checks.
    """
    statements: dict[str, str | SetQuery] = {}
    for file_name in file_names:
        _, *parts = _HEAD.split(files(package).joinpath(file_name).read_text("utf-8"))
        for name, body in zip(parts[::2], parts[1::2], strict=True):
            if name in statements:
                raise ValueError(f"two queries are named {name}")
            lines = [line for line in body.splitlines() if not line.lstrip().startswith("--")]
            text = "\n".join(lines).strip().removesuffix(";")
            declared = ", ".join(found.strip().removesuffix(",") for found in _ROWS.findall(body))
            statements[name] = set_query(name, declared, text) if declared else text
    return Queries(statements)
