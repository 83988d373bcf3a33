"""The operator's settings of http-request: allowed hosts and secrets, for each namespace; certificates."""

import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypedDict

from schedule_grpc.builtin.http_request.addresses import Target, resolve
from schedule_grpc.builtin.http_request.hosts import AllowedHosts, Resolver
from schedule_grpc.builtin.http_request.task_secrets import OwnedSecret, SecretTable, TaskSecrets
from schedule_grpc.errors import ConfigurationError
from schedule_grpc.runtime.threads import in_thread


class HostsTable(TypedDict):
    """The table ``[http_request.namespaces.NAME]``."""

    allow_hosts: list[str]
    allow_private_hosts: list[str]


@dataclass(frozen=True, slots=True)
class Reach:
    """What tasks of one namespace may call, and the secrets that they may use."""

    hosts: AllowedHosts
    secrets: TaskSecrets
    tls: ssl.SSLContext

    async def addresses(self, target: Target) -> Sequence[str]:
        """Return the addresses of a target's host, as `AllowedHosts.addresses`."""
        return await self.hosts.addresses(target)


class HttpSettings:
    """The hosts that http-request may call, and its secrets. Handlers find it as ``ctx.env.HTTP``."""

    def __init__(
        self,
        *,
        allow_hosts: Iterable[str] = (),
        allow_private_hosts: Iterable[str] = (),
        namespaces: Mapping[str, HostsTable] | None = None,
        secrets: Mapping[str, SecretTable] | None = None,
        secrets_dir: Path | str | None = None,
        ca_file: Path | str | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        """Take the settings.

        Args:
            allow_hosts: Hosts at public addresses: ``api.example.com`` (with any port), ``api.example.com:8443``,
                ``*.example.com`` (all names below it), ``*`` (the whole internet). None by default.
            allow_private_hosts: Hosts that may have private and loopback addresses too. An address of
                another kind (link-local, a cloud's metadata) must be listed itself. ``*`` is refused.
            namespaces: For the tasks of these namespaces, the lists that hold in place of both.
            secrets: Secrets by name, each with its hosts and the namespaces whose tasks may use it.
            secrets_dir: The folder of files that headers may refer to; None allows no file.
            ca_file: Certificates of authorities, in PEM, that are trusted beside those of the machine.
            resolver: Finds the addresses of a name.

        Raises:
            ConfigurationError: if a host cannot be read.
        """
        self._hosts = AllowedHosts(
            place="http_request",
            allow_hosts=allow_hosts,
            allow_private_hosts=allow_private_hosts,
            resolver=resolver,
        )
        self._by_namespace = {
            name: AllowedHosts(place=f"http_request.namespaces.{name}", **lists, resolver=resolver)
            for name, lists in (namespaces or {}).items()
        }
        self._secrets = {name: OwnedSecret.of(name, table) for name, table in (secrets or {}).items()}
        self._secrets_dir = None if secrets_dir is None else Path(secrets_dir)
        self._ca_file = None if ca_file is None else Path(ca_file)

    async def within(self, namespace: str) -> Reach:
        """Return what tasks of a namespace may call and use.

        The TLS context is loaded in a thread, so that other attempts go on: the first time takes 150 ms.

        Raises:
            ConfigurationError: if the authorities' file cannot be read.
        """
        if "tls" not in self.__dict__:
            await in_thread(lambda _: self.tls, name="prepare http-request", abandon=True)
        return Reach(
            hosts=self._by_namespace.get(namespace, self._hosts),
            secrets=TaskSecrets(namespace, self._secrets, self._secrets_dir),
            tls=self.tls,
        )

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """The TLS context that verifies servers' certificates; made once, in some 20 ms.

        Raises:
            ConfigurationError: if the authorities' file cannot be read.
        """
        from httpx2 import create_ssl_context  # noqa: PLC0415

        context = create_ssl_context(trust_env=False)
        if self._ca_file is not None:
            try:
                context.load_verify_locations(self._ca_file)
            except OSError as error:
                raise ConfigurationError(f"http_request.ca_file: {self._ca_file}: {error}") from None
        return context
