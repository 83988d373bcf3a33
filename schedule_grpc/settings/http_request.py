"""The settings of the handler http-request: hosts and secrets, for all tasks or for those of some namespaces."""

import re
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schedule_grpc.domain.access.namespace import namespace_violations
from schedule_grpc.settings.values import NAMES, table

_SECRET_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


def _checked_namespace(name: str) -> str:
    for violation in namespace_violations("", name):
        raise ValueError(violation.reason)
    return name


def _checked_secret_name(name: str) -> str:
    if _SECRET_NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r:.80} is not a name such as REPORTS: a letter, then letters, digits, '_' or '-'")
    return name


_Namespace: TypeAlias = Annotated[str, AfterValidator(_checked_namespace)]
_SecretName: TypeAlias = Annotated[str, AfterValidator(_checked_secret_name)]


class NamespaceHosts(BaseModel):
    """The table ``[http_request.namespaces.NAME]``: the hosts for tasks of one namespace."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow_hosts: Annotated[list[str], NAMES] = Field(default_factory=list)
    allow_private_hosts: Annotated[list[str], NAMES] = Field(default_factory=list)


class SecretOptions(BaseModel):
    """The table ``[http_request.secrets.NAME]``: a secret, the tasks that may use it, and where it may be sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path
    hosts: Annotated[list[str], NAMES, Field(min_length=1)]
    namespaces: Annotated[list[_Namespace], NAMES, Field(min_length=1)]


class HttpRequestOptions(BaseModel):
    """The hosts that the handler http-request may call, and its secrets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow_hosts: Annotated[list[str], NAMES] = Field(default_factory=list)
    allow_private_hosts: Annotated[list[str], NAMES] = Field(default_factory=list)
    namespaces: Annotated[dict[_Namespace, NamespaceHosts], table("namespaces")] = Field(default_factory=dict)
    secrets: Annotated[dict[_SecretName, SecretOptions], table("secrets")] = Field(default_factory=dict)
    secrets_dir: Path | None = None
    ca_file: Path | None = None

    def absolute(self) -> "HttpRequestOptions":
        """Return these settings with absolute paths."""
        paths = {name: getattr(self, name) for name in ("secrets_dir", "ca_file")}
        changed = {name: Path.cwd() / path for name, path in paths.items() if path is not None}
        secrets = {
            name: each.model_copy(update={"file": Path.cwd() / each.file}) for name, each in self.secrets.items()
        }
        return self.model_copy(update={**changed, "secrets": secrets})
