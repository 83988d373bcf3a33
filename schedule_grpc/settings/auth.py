"""Settings of authentication: whether callers must prove who they are, and what others may do."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schedule_grpc.access.authenticator import CallerPolicy, Mode
from schedule_grpc.access.rules import PUBLIC
from schedule_grpc.domain.access.caller import EVERYTHING
from schedule_grpc.domain.access.grant import read_grants
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.settings.identities import CertificateTables, JwtTables, SpiffeTexts
from schedule_grpc.settings.values import NAMES
from schedule_grpc.text.secrets import shown


def _checked_grants(texts: list[str]) -> list[str]:
    try:
        return list(map(str, read_grants(texts)))
    except InvalidArgument as error:
        raise ValueError(
            f"{error.violations[0].field} is no grant such as read@reports, or there are too many"
        ) from None


def _checked_parts(names: list[str]) -> list[str]:
    for name in names:
        if name not in PUBLIC:
            raise ValueError(f"{shown(name)!r} is none of {', '.join(PUBLIC)}")
    return names


GRANTS: Any = AfterValidator(_checked_grants)
"""Checks a list of grants."""


class AuthOptions(BaseModel):
    """Whether callers must prove who they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode | None = None
    anonymous_grants: Annotated[list[str], NAMES, GRANTS] = Field(default_factory=lambda: list(map(str, EVERYTHING)))
    public: Annotated[list[str], NAMES, AfterValidator(_checked_parts)] = Field(default_factory=list)
    behind_tls_proxy: bool = False
    bootstrap_key_file: Path | None = None
    certificates: CertificateTables = ()
    denied: SpiffeTexts = Field(default_factory=list)
    jwt: JwtTables = ()

    @model_validator(mode="after")
    def _means_one_thing(self) -> "AuthOptions":
        if self.mode is Mode.OFF and self.bootstrap_key_file is not None:
            raise ValueError("mode off lets everybody in: with the key of bootstrap_key_file it would not start again")
        return self

    def __str__(self) -> str:
        return "" if self.mode is None else f"mode {self.mode}"

    @property
    def is_required(self) -> bool:
        """Whether every caller must prove who it is, whether or not there is a key yet."""
        return self.mode is Mode.REQUIRED or (self.mode is None and bool(self.certificates or self.jwt))

    def absolute(self) -> "AuthOptions":
        """Return these settings with absolute paths."""
        first_key = self.bootstrap_key_file
        return self.model_copy(
            update={
                "bootstrap_key_file": None if first_key is None else Path.cwd() / first_key,
                "jwt": tuple(each.absolute() for each in self.jwt),
            }
        )

    def policy(self) -> CallerPolicy:
        """Return how the server treats its callers."""
        return CallerPolicy(mode=self.mode, anonymous_grants=read_grants(self.anonymous_grants))
