"""A channel to a gRPC service."""

import asyncio
from pathlib import Path
from typing import Any

from schedule_grpc.bindings.setting import Setting
from schedule_grpc.errors import BindingError

OPTIONS = (
    # A service that is back is found again within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class GrpcChannel:
    """One channel to ``grpc://HOST:PORT``, or with TLS to ``grpcs://HOST:PORT``, for the user's own stubs."""

    def __init__(self, setting: Setting) -> None:
        """Make the channel; nothing is connected before it is used.

        Raises:
            BindingError: if a certificate cannot be read.
        """
        import grpc  # noqa: PLC0415 (80 ms to import)

        self._name = setting.name
        self._service = setting.text("service") or ""
        self._closed = False
        address = setting.url.partition("://")[2].rstrip("/")
        if setting.scheme == "grpcs":
            credentials = grpc.ssl_channel_credentials(
                *(_content(setting, option) for option in ("ca_file", "key_file", "cert_file"))
            )
            self._channel = grpc.aio.secure_channel(address, credentials, options=OPTIONS)
        else:
            self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)

    async def channel(self) -> Any:
        """Return the channel, a ``grpc.aio.Channel``: make stubs of it, and give each of their calls a timeout.

        The binding closes it, not the handler.
        """
        return self._channel

    async def ping(self) -> None:
        """Return if the service's health (grpc.health.v1) is SERVING.

        Raises:
            BindingError: if not.
        """
        import grpc  # noqa: PLC0415
        from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415

        stub = health_pb2_grpc.HealthStub(self._channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=self._service))
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                raise BindingError(self._name, "offers no health service (grpc.health.v1)") from None
            raise BindingError(self._name, f"{error.code().name}: {error.details()}") from None
        except (asyncio.CancelledError, grpc.aio.UsageError):
            if self._closed:
                raise BindingError(self._name, "is closed") from None
            raise
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
            raise BindingError(self._name, f"says that it is {status}")

    async def aclose(self) -> None:
        """Close the channel; calls under way end."""
        self._closed = True
        await self._channel.close()


def _content(setting: Setting, option: str) -> bytes | None:
    file = setting.text(option)
    if file is None:
        return None
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise BindingError(setting.name, f"{option}: {file} cannot be read: {error.strerror}") from None
