"""The attempts whose handlers run now, as `ManualService` counts them."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from schedule_grpc.handlers import Offer, Registry, TaskContext


class AtWork:
    """Attempts whose handlers were called, have not returned, and were not asked to stop.

    Every other step of the engine (calling, deciding the fate, recording) ends by itself, without any time of the
    test's clock.
    """

    def __init__(self) -> None:
        self._contexts: dict[str, TaskContext] = {}

    def __len__(self) -> int:
        return sum(not context.cancelled.is_set() for context in tuple(self._contexts.values()))

    def watching(self, offers: Iterable[Offer]) -> Registry:
        """Return a registry of the same offers, whose functions note here when they begin and end."""
        return Registry(self._watched(offer) for offer in offers)

    def _watched(self, offer: Offer) -> Offer:
        async def call(ctx: TaskContext) -> Any:
            self._contexts[ctx.execution_id] = ctx
            try:
                return await offer.function(ctx)
            finally:
                del self._contexts[ctx.execution_id]

        def call_in_thread(ctx: TaskContext) -> Any:
            self._contexts[ctx.execution_id] = ctx
            try:
                return offer.function(ctx)
            finally:
                del self._contexts[ctx.execution_id]

        return replace(offer, function=call if offer.is_async else call_in_thread)
