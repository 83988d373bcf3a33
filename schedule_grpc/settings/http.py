"""Settings of the HTTP interface, and of the pages that it shows to browsers."""

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from schedule_grpc.settings.listeners import ListenerOptions, Listeners, addresses
from schedule_grpc.settings.values import NAMES, OFF, checked_origin, checked_prefix

Origins: TypeAlias = Annotated[list[Annotated[str, AfterValidator(checked_origin)]], NAMES]


def _none_if_off(value: object) -> object:
    return () if value == OFF else value


class HttpOptions(BaseModel):
    """The HTTP interface, and the hosts and origins that may call it beside this machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: Annotated[Listeners, BeforeValidator(_none_if_off)] = (ListenerOptions(address="127.0.0.1:8787"),)
    allowed_hosts: Annotated[list[str], NAMES] = Field(default_factory=list)
    allowed_origins: Origins = Field(default_factory=list)
    path_prefix: Annotated[str, AfterValidator(checked_prefix)] = ""
    changes: bool = True

    def __str__(self) -> str:
        return addresses(self.address)


class UiOptions(BaseModel):
    """The dashboard: whether there is one, by what people tell this server's from others, and who may show it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    title: Annotated[str, Field(max_length=40)] = ""
    colour: Literal["none", "blue", "green", "amber", "red", "violet"] = "none"
    frame_ancestors: Origins = Field(default_factory=list)

    def __str__(self) -> str:
        return "on" if self.enabled else OFF
