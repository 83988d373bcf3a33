"""Listeners in settings: an address, a table of an address and its certificates, or a list of these."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from schedule_grpc.domain.access.caller import EVERYTHING
from schedule_grpc.domain.access.grant import read_grants
from schedule_grpc.errors import CannotStart, InvalidArgument
from schedule_grpc.runtime import paths
from schedule_grpc.runtime.certificates import ReloadedCertificates, TlsFiles
from schedule_grpc.runtime.listeners import LONGEST_PATH, UNIX, Listener, unix_path
from schedule_grpc.settings.sources import json_or_text
from schedule_grpc.settings.values import NAMES, OFF, checked_address, listed

_MODES = range(0o1000)


class ListenerOptions(BaseModel):
    """One listener: its address, and its certificates, or its socket's mode and what callers of that may do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    socket_mode: str = "600"
    grants: Annotated[tuple[str, ...], NAMES] = ()
    serves: Literal["all", "health"] = "all"

    @model_validator(mode="before")
    @classmethod
    def _as_table(cls, value: object) -> object:
        return {"address": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_together(self) -> "ListenerOptions":
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError(f"{self.address}: tls_cert and tls_key belong together")
        if self.client_ca is not None and self.tls_cert is None:
            raise ValueError(f"{self.address}: client_ca needs tls_cert and tls_key")
        self.check_address(self.address)
        if not self.is_unix and "socket_mode" in self.model_fields_set:
            raise ValueError(f"{self.address}: socket_mode is for unix:PATH")
        if not self.is_unix and self.grants:
            raise ValueError(f"{self.address}: grants are for unix:PATH; callers by TCP prove who they are")
        try:
            read_grants(self.grants)
        except InvalidArgument as error:
            raise ValueError(f"{self.address}: {error.message}") from None
        self.mode  # noqa: B018 (reading it checks it)
        return self

    def __str__(self) -> str:
        return self.address

    @staticmethod
    def check_address(address: str) -> None:
        """Check an address to listen on.

        Raises:
            ValueError: if it is neither HOST:PORT nor unix:PATH, with the reason.
        """
        if not address.startswith(UNIX):
            checked_address(address)
            return
        path = unix_path(address)
        if not path or len(path.encode()) > LONGEST_PATH or "\0" in path or path.startswith("@"):
            raise ValueError(f"{address} is not unix:PATH with a path of 1 to {LONGEST_PATH} bytes")

    @property
    def is_unix(self) -> bool:
        """Whether it is a unix socket."""
        return self.address.startswith(UNIX)

    @property
    def health_only(self) -> bool:
        """Whether it serves health and metrics to everybody who reaches it, and nothing else."""
        return self.serves == "health"

    @property
    def mode(self) -> int:
        """The mode of the unix socket."""
        try:
            mode = int(self.socket_mode, 8)
        except ValueError:
            mode = -1
        if mode not in _MODES:
            raise ValueError(f"{self.address}: socket_mode {self.socket_mode!r} is not an octal mode such as 660")
        return mode

    def absolute(self) -> "ListenerOptions":
        """Return this listener with absolute paths."""
        files = {name: getattr(self, name) for name in ("tls_cert", "tls_key", "client_ca")}
        changed: dict[str, Any] = {name: Path.cwd() / path for name, path in files.items() if path is not None}
        if self.is_unix:
            changed["address"] = UNIX + paths.absolute(unix_path(self.address))
        return self.model_copy(update=changed)

    def opened(self, key: str) -> Listener:
        """Return the listener with its certificates read from their files.

        Raises:
            CannotStart: naming the setting, if they cannot be used.
        """
        certificates = None
        if self.tls_cert is not None and self.tls_key is not None:
            files = TlsFiles(certificate=self.tls_cert, key=self.tls_key, client_ca=self.client_ca)
            try:
                certificates = ReloadedCertificates(files)
            except ValueError as error:
                raise CannotStart(f"{key}: {self.address}: {error}") from error
        grants = (self.grants or tuple(map(str, EVERYTHING))) if self.is_unix else None
        return Listener(
            address=self.address,
            certificates=certificates,
            socket_mode=self.mode,
            grants=grants,
            health_only=self.health_only,
        )


def _read(value: object) -> object:
    if isinstance(value, str):
        value = json_or_text(value, "{")
    if isinstance(value, Mapping | ListenerOptions):
        return [value]
    items = listed(value)
    for item in items if isinstance(items, list) else ():
        if isinstance(item, str):  # an error here names the setting, not a place in a list that was not written
            ListenerOptions.check_address(item)
    return items


Listeners: TypeAlias = Annotated[tuple[ListenerOptions, ...], BeforeValidator(_read)]
"""One or more listeners."""


def addresses(listeners: Iterable[ListenerOptions]) -> str:
    """Return listeners as a text of their addresses."""
    return ", ".join(map(str, listeners)) or OFF
