"""A queue of a message broker, through kombu: Redis, RabbitMQ and whatever else it speaks to."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from schedule_grpc.bindings.instants import written
from schedule_grpc.bindings.table_queue import written_payload
from schedule_grpc.bindings.worker_thread import WorkerThread
from schedule_grpc.domain.canonical_json import decode, encode
from schedule_grpc.domain.durations import MILLISECOND
from schedule_grpc.errors import BindingError
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.tracing import TRACEPARENT, present_span

T = TypeVar("T")

HIGHEST_PRIORITY = 9
PERSISTENT = 2
REDIS = "redis"


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerOptions:
    """How a broker is used."""

    queue: str = "jobs"
    """The queue's name."""
    patience: float = 5.0
    """Seconds that each step of talking to the broker may take."""
    dedupe_for: timedelta = timedelta(days=1)
    """How long a key is remembered where the consumer does not forget it."""
    declare: bool = True
    """Whether to make the queue (durable) where it is missing."""
    max_priority: int | None = None
    """What AMQP calls x-max-priority: without it RabbitMQ takes no notice of priorities."""
    transport: Mapping[str, Any] = field(default_factory=dict)
    """kombu's transport_options."""


class BrokerQueue:
    """Publishes jobs. kombu blocks, so it has a thread of its own.

    A message's body is a JSON object with id, type, payload, priority, dedupe_key and created_at. A higher priority, up
    to 9, comes first; on Redis, where kombu has it the other way round, too.

    Only Redis knows that a key is queued already: it holds ``schedule-grpc:queued:QUEUE:KEY``, whose name is the
    message's header ``dedupe``. A consumer deletes it when it takes the job; else it goes after ``dedupe_for``.
    Other brokers take every job. A job whose enqueue failed may be queued all the same: rather twice than never.
    Messages of traced handlers have the header ``traceparent``.
    """

    def __init__(self, name: str, url: str, options: BrokerOptions, *, clock: Clock) -> None:
        """Take a broker; nothing is connected before it is used."""
        self._name = name
        self._url = url
        self._options = options
        self._clock = clock
        self._thread = WorkerThread(f"binding {name}")
        self._connection: Any = None
        self._channel: Any = None

    async def enqueue(
        self,
        type: str,  # noqa: A002 (the public name)
        payload: Mapping[str, Any],
        *,
        priority: int = 0,
        dedupe_key: str | None = None,
    ) -> bool:
        """Put a job into the queue.

        Args:
            type: The kind of job.
            payload: The job's arguments; JSON.
            priority: A higher one comes first, up to 9.
            dedupe_key: On Redis, among the jobs that are still queued there is one of each key.

        Returns:
            Whether it was queued: False if one with its key is queued already.

        Raises:
            BindingError: if the broker did not confirm the job.
        """
        job = {
            "id": str(uuid4()),
            "type": type,
            "payload": decode(written_payload(self._name, payload)),
            "priority": priority,
            "dedupe_key": dedupe_key,
            "created_at": written(self._clock.now()),
        }
        span = present_span()
        headers = {} if span is None else {TRACEPARENT: span.traceparent}
        return await self._run(partial(self._enqueue, job, headers))

    async def ping(self) -> None:
        """Return if the broker answers.

        Raises:
            BindingError: if not.
        """
        await self._run(partial(self._on_channel, self._look))

    async def aclose(self) -> None:
        """Close the connection."""
        await self._thread.aclose(self._drop)

    async def _run(self, function: Callable[[], T]) -> T:
        try:
            return await self._thread.run(function)
        except Exception as error:  # noqa: BLE001 (each transport has errors of its own)
            raise BindingError(self._name, _reason(error)) from None

    def _enqueue(self, job: dict[str, Any], headers: Mapping[str, str]) -> bool:
        if job["dedupe_key"] is None:
            return self._on_channel(partial(self._publish, job, headers))
        try:
            return self._on_channel(partial(self._publish_once, job, headers))
        except Exception:
            with suppress(Exception):
                self._on_channel(partial(self._forget, job))
            raise

    def _publish_once(self, job: dict[str, Any], headers: Mapping[str, str], channel: Any) -> bool:
        if not self._remembers():
            return self._publish(job, headers, channel)
        key, client = self._key(job), channel.client
        # Remembered for a short while first: should this process die before the job is queued, it is not lost for long.
        claim = max(round(4000 * self._options.patience), 1)
        if not client.set(key, job["id"], nx=True, px=claim) and client.get(key) != job["id"].encode():
            return False
        self._publish(job, {**headers, "dedupe": key}, channel)
        with suppress(Exception):  # it is queued
            client.pexpire(key, max(self._options.dedupe_for // MILLISECOND, 1))
        return True

    def _forget(self, job: dict[str, Any], channel: Any) -> None:
        if self._remembers() and channel.client.get(self._key(job)) == job["id"].encode():
            channel.client.delete(self._key(job))

    def _publish(self, job: dict[str, Any], headers: Mapping[str, str], channel: Any) -> bool:
        import kombu  # noqa: PLC0415 (an extra)

        arguments = {} if self._options.max_priority is None else {"x-max-priority": self._options.max_priority}
        queue = kombu.Queue(self._options.queue, durable=True, queue_arguments=arguments)
        priority = min(max(job["priority"], 0), HIGHEST_PRIORITY)
        kombu.Producer(channel).publish(
            encode(job),
            routing_key=self._options.queue,
            content_type="application/json",
            content_encoding="utf-8",
            headers=dict(headers),
            priority=HIGHEST_PRIORITY - priority if self._remembers() else priority,
            delivery_mode=PERSISTENT,
            mandatory=True,
            declare=[queue] if self._options.declare else [],
        )
        return True

    def _look(self, channel: Any) -> None:
        if self._remembers():
            channel.client.ping()
        else:
            self._connection.channel().close()

    def _on_channel(self, function: Callable[[Any], T]) -> T:
        """Run a function on the channel; once more if a connection that was there has been lost meanwhile."""
        known = self._channel is not None
        try:
            return function(self._connected())
        except Exception as error:
            lost = self._connection is not None and isinstance(error, self._connection.recoverable_connection_errors)
            self._drop()
            if not known or not lost or "Timeout" in type(error).__name__:
                raise
        try:
            return function(self._connected())
        except Exception:
            self._drop()
            raise

    def _connected(self) -> Any:
        import kombu  # noqa: PLC0415

        if self._channel is None:
            patience = self._options.patience
            self._connection = kombu.Connection(
                self._url,
                connect_timeout=patience,
                # redis reads the first two, amqp the next two; confirm_publish: the broker confirms each job.
                transport_options={
                    "socket_timeout": patience,
                    "socket_connect_timeout": patience,
                    "read_timeout": patience,
                    "write_timeout": patience,
                    "confirm_publish": True,
                    **self._options.transport,
                },
            )
            servers = len(self._connection.alt)
            self._connection.ensure_connection(max_retries=max(servers, 1), interval_start=0, interval_step=0)
            self._channel = self._connection.channel()
        return self._channel

    def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with suppress(Exception):
                connection.collect(socket_timeout=self._options.patience)

    def _remembers(self) -> bool:
        return bool(self._connection.transport.driver_type == REDIS)

    def _key(self, job: dict[str, Any]) -> str:
        return f"schedule-grpc:queued:{self._options.queue}:{job['dedupe_key']}"


def _reason(error: Exception) -> str:
    reason = str(error) or str(error.__cause__ or "") or type(error).__name__
    return f"the broker failed: {reason}" if isinstance(error, OSError) else reason
