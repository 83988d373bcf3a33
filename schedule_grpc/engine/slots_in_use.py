"""The slots of this server that attempts take: how many of each handler and namespace, and whose turn was when."""

from collections import Counter
from collections.abc import Mapping

from schedule_grpc.domain.execution import Execution


class SlotsInUse:
    """Counts attempts from their claims until they are recorded."""

    def __init__(self) -> None:
        self._by_handler: Counter[str] = Counter()
        self._by_namespace: Counter[str] = Counter()
        self._taken = 0
        self._turns: dict[str, int] = {}

    def take(self, execution: Execution) -> None:
        """Count an attempt that begins."""
        self._by_handler[execution.handler] += 1
        self._by_namespace[execution.namespace] += 1
        self._taken += 1
        self._turns[execution.namespace] = self._taken

    def free(self, execution: Execution) -> None:
        """Count an attempt no longer."""
        self._by_handler[execution.handler] -= 1
        self._by_namespace[execution.namespace] -= 1

    def by_handler(self) -> Mapping[str, int]:
        """Return how many attempts run, by handler."""
        return +self._by_handler

    def by_namespace(self) -> Mapping[str, int]:
        """Return how many attempts run, by namespace."""
        return +self._by_namespace

    @property
    def turns(self) -> Mapping[str, int]:
        """The namespaces whose attempts began, each with a number that is larger the later its last one did."""
        return self._turns
