"""Contexts: servers under names, with the namespace to work in and the files that prove who calls.

``~/.config/schedule-grpc/contexts.toml`` (in ``$XDG_CONFIG_HOME``, where that is set)::

    [prod]
    server = "schedule.example:50051"
    namespace = "reports"
    token_file = "reports.token"      # paths are relative to this file; ~ is the home folder
    tls_ca = "/etc/ssl/schedule-ca.pem"
"""

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from schedule_grpc.runtime import private_files

FILES = ("token_file", "tls_ca", "tls_cert", "tls_key")


class WrongContext(Exception):
    """The file of contexts, the context, or the file of its token cannot be used; says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """A server to call, and how; None is what the commands do without a context."""

    server: str | None = None
    namespace: str | None = None
    token_file: Path | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def checked_token_file(self) -> Path | None:
        """Return the file of the context's token.

        Raises:
            WrongContext: if others than its owner can read it.
        """
        if self.token_file is not None and (readers := private_files.readers(self.token_file)):
            raise WrongContext(f"{self.token_file} can be read or changed by {readers}: chmod 600 it")
        return self.token_file


_KEYS = tuple(each.name for each in fields(Context))


def contexts_file() -> Path:
    """Return the place of the file of contexts."""
    folder = os.environ.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path.home() / ".config") / "schedule-grpc" / "contexts.toml"


def contexts(file: Path) -> Mapping[str, Context]:
    """Return the contexts of a file, by name; none if there is no file.

    Raises:
        WrongContext: if it cannot be read, others can change it, or it says something that it cannot.
    """
    try:
        mode = file.stat().st_mode
        decoded = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WrongContext(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    if mode & (stat.S_IWGRP | stat.S_IWOTH):  # who changes it has the tokens sent to another server
        raise WrongContext(f"{file} can be changed by other users: chmod go-w it")
    return {name: _context(file, name, table) for name, table in decoded.items()}


def context_named(name: str, file: Path) -> Context:
    """Return the context of a name.

    Raises:
        WrongContext: as `contexts`; if the file has no context of the name.
    """
    known = contexts(file)
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    meant = f"; did you mean {near[0]}?" if near else f" (contexts: {', '.join(sorted(known)) or 'none'})"
    raise WrongContext(f"{file} has no context {name}{meant}")


def _context(file: Path, name: str, table: object) -> Context:
    if not isinstance(table, Mapping):
        raise WrongContext(f"{file}: {name} is not a table: write [NAME] above each context")
    for key, value in table.items():
        if key not in _KEYS:
            raise WrongContext(f"{file}: {name}.{key}: unknown key; the keys here are {', '.join(_KEYS)}")
        if not isinstance(value, str) or not value:
            raise WrongContext(f"{file}: {name}.{key}: is not a text, or empty")
    values: dict[str, Any] = dict(table)
    return Context(**values | {key: file.parent / Path(values[key]).expanduser() for key in FILES if key in values})
