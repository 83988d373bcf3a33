"""Secrets that a payload refers to and does not hold: those with an owner in the settings, variables and files.

A secret of the settings has namespaces, whose tasks may use it, and hosts, which may be sent it. Variables and files of
one folder have neither: every task of the namespace ``default`` may send them to whatever host it may call.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from schedule_grpc.builtin.http_request.addresses import Refused, Target
from schedule_grpc.builtin.http_request.hosts import HostRule, host_rules
from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.errors import ConfigurationError

SECRET_PREFIX = "SCHEDULE_SECRET_"  # noqa: S105 (the beginning of a name)
MAX_SECRET_BYTES = 16 * 1024
KINDS = ("secret", "env", "file")
"""The keys of a reference, of which it has one."""


class SecretTable(TypedDict):
    """The table ``[http_request.secrets.NAME]``."""

    file: Path
    hosts: list[str]
    """Hosts that may be sent it, as in ``allow_hosts``, but ``*`` alone."""
    namespaces: list[str]
    """Namespaces whose tasks may use it."""


@dataclass(frozen=True, slots=True)
class Secret:
    """The value of a reference."""

    text: str = field(repr=False)
    name: str = ""
    """Its name in the settings; empty for a variable or a file, which have no hosts of their own."""
    hosts: tuple[HostRule, ...] = ()

    def check(self, target: Target) -> None:
        """Check that a target may be sent it.

        Raises:
            Refused: if it is not one of the secret's hosts.
        """
        if self.name and not any(rule.matches(target) for rule in self.hosts):
            raise Refused(
                f"is not for {target.host}:{target.port}: [http_request.secrets.{self.name}] hosts does not name it"
            )


@dataclass(frozen=True, slots=True)
class OwnedSecret:
    """A secret of the settings; its file is read anew for each request."""

    name: str
    file: Path
    hosts: tuple[HostRule, ...]
    namespaces: frozenset[str]

    @classmethod
    def of(cls, name: str, table: SecretTable) -> "OwnedSecret":
        """Return the secret of a table.

        Raises:
            ConfigurationError: if a host cannot be read, or stands for every host.
        """
        hosts = host_rules(f"http_request.secrets.{name}.hosts", table["hosts"])
        if not hosts or any(rule.host == "*" for rule in hosts):
            raise ConfigurationError(f"http_request.secrets.{name}.hosts: name the hosts that may be sent it")
        return cls(name, Path(table["file"]), hosts, frozenset(table["namespaces"]))


class TaskSecrets:
    """The secrets that tasks of one namespace may use."""

    def __init__(self, namespace: str, owned: Mapping[str, OwnedSecret], folder: Path | None) -> None:
        """Take the namespace, the secrets of the settings by name, and the folder for files."""
        self._namespace = namespace
        self._owned = {name: secret for name, secret in owned.items() if namespace in secret.namespaces}
        self._folder = folder

    def read(self, reference: Mapping[str, str]) -> Secret:
        """Return the secret of a reference, without a line break at its end.

        Raises:
            Refused: if a task of the namespace may not refer to it, or it does not exist; the text never has the secret
                itself. A secret of another namespace is refused as one that does not exist.
        """
        if (name := reference.get("secret")) is not None:
            return self._of_settings(name)
        if self._namespace != DEFAULT_NAMESPACE:
            raise Refused(
                'refers to a variable or a file, which only tasks of the namespace default may: use {"secret": NAME}'
            )
        if (name := reference.get("env")) is not None:
            return Secret(_variable(name))
        return Secret(self._file(reference["file"]))

    def _of_settings(self, name: str) -> Secret:
        secret = self._owned.get(name)
        if secret is None:
            raise Refused(f"the namespace {self._namespace} has no secret {name!r} ([http_request.secrets])")
        return Secret(_content(secret.file, f"the secret {name}"), name, secret.hosts)

    def _file(self, path: str) -> str:
        if self._folder is None:
            raise Refused("no folder for secrets is configured ([http_request] secrets_dir)")
        inside = self._folder.resolve()
        # Links within the folder are followed: Kubernetes mounts secrets so.
        if not path.isprintable() or not (file := (inside / path).resolve()).is_relative_to(inside):
            raise Refused(f"the file {path!r} is outside of the folder for secrets")
        return _content(file, f"the file {path!r}")


def _variable(name: str) -> str:
    if not name.startswith(SECRET_PREFIX):
        raise Refused(f"the variable {name!r} does not begin with {SECRET_PREFIX}")
    found = os.environ.get(name, "")
    if not found:
        raise Refused(f"the variable {name} is not set")
    return found


def _content(file: Path, called: str) -> str:
    try:
        with file.open("rb") as opened:
            read = opened.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise Refused(f"{called}: {error.strerror}") from None
    text = read.decode("utf-8", "replace").rstrip("\r\n")
    if not text or len(read) > MAX_SECRET_BYTES:
        raise Refused(f"{called} is empty, or larger than {MAX_SECRET_BYTES} bytes")
    return text
