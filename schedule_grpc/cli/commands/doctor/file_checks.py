"""The files of a server that hold secrets, and the other users who can read them."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from schedule_grpc.backup import is_backup
from schedule_grpc.domain.json_input import table
from schedule_grpc.runtime import private_files
from schedule_grpc.settings.config import SQLITE, Settings
from schedule_grpc.text.secrets import Secrets, names_a_secret

LOCAL = "file://"


def open_files(settings: Settings, config: Path | None, token_file: Path | None = None) -> Iterator[tuple[str, str]]:
    """Yield each file whose secrets other users can read, and these users.

    Args:
        settings: The server's.
        config: The file that they are from.
        token_file: The file with the key of the caller, if it has one.
    """
    mine = [] if token_file is None else [token_file]
    for path in (*mine, *_secret_files(settings, config)):
        if readers := private_files.readers(path):
            yield str(path), readers
    exposed = [(path, readers) for path in _backups(settings.backup.root) if (readers := private_files.readers(path))]
    for path, readers in exposed[:1]:
        others = f" and {len(exposed) - 1} more backups" if exposed[1:] else ""
        yield f"{path}{others}", readers


def _secret_files(settings: Settings, config: Path | None) -> Iterator[Path]:
    if config is not None and _holds_secrets(config):
        yield config
    yield from _files_of(settings.database)
    for binding in settings.bindings.values():
        options = {"url": binding} if isinstance(binding, str) else binding
        yield from _files_of(str(options.get("url")))
        yield from (Path(str(value)) for option, value in options.items() if _leads_to_a_secret(option))
    if settings.auth.bootstrap_key_file is not None:
        yield settings.auth.bootstrap_key_file
    yield from (each.jwks_token_file for each in settings.auth.jwt if each.jwks_token_file is not None)
    if settings.alerts.secret_file is not None:
        yield settings.alerts.secret_file
    if settings.http_request.secrets_dir is not None:
        yield from _within(settings.http_request.secrets_dir)
    yield from (secret.file for secret in settings.http_request.secrets.values())


def _files_of(url: str) -> Iterator[Path]:
    """Yield a SQLite database's file, and the files that SQLite writes beside it: all of them hold rows."""
    if url.startswith(SQLITE):
        path = Path(url.removeprefix(SQLITE))
        yield from (path.with_name(path.name + part) for part in ("", "-wal", "-shm"))


def _leads_to_a_secret(option: str) -> bool:
    return option.endswith("_file") and names_a_secret(option.removesuffix("_file"))


def _holds_secrets(config: Path) -> bool:
    values: Mapping[str, Any] = {}
    with suppress(OSError, ValueError):  # another check reports a file that cannot be read
        values = table(config.read_bytes())
    secrets = Secrets()
    secrets.add_options(values)
    return bool(secrets) or bool(values.get("alerts", {}).get("urls"))  # a webhook's URL lets its holder post to it


def _backups(root: str) -> Iterator[Path]:
    if "://" not in root or root.startswith(LOCAL):
        folder = Path(unquote(urlsplit(root).path) if root.startswith(LOCAL) else root)
        yield from (path for path in _within(folder) if is_backup(path.name))


def _within(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from (path for path in sorted(folder.rglob("*")) if path.is_file())
