"""Queries stand in .sql files, each with a name and a sentence.

::

-- name: find_task
-- The living task of a name.
SELECT ...
"""

import re
from importlib.resources import files

_HEAD = re.compile(r"^-- name: (?P<name>[a-z_]+)\n", re.MULTILINE)


class Queries:
    """The statements of .sql files, as attributes by their names."""

    def __init__(self, statements: dict[str, str]) -> None:
        self._statements = statements

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"no query is named {name}") from None


def load_queries(package: str, *file_names: str) -> Queries:
    """Return the queries of a package's .sql files.

    Raises:
        ValueError: if two have the same name.
    """
    statements: dict[str, str] = {}
    for file_name in file_names:
        _, *parts = _HEAD.split(files(package).joinpath(file_name).read_text("utf-8"))
        for name, body in zip(parts[::2], parts[1::2], strict=True):
            if name in statements:
                raise ValueError(f"two queries are named {name}")
            lines = [line for line in body.splitlines() if not line.lstrip().startswith("--")]
            statements[name] = "\n".join(lines).strip().removesuffix(";")
    return Queries(statements)
