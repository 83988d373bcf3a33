"""What callers were told, and what they asked for without an answer; afterwards held against the database."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support.witnesses.checker import Acknowledged
from support.witnesses.checker.reading import rows

from schedule_grpc.domain.execution import Execution


@dataclass
class Ledger:
    """Kept by the clients of a `Load`."""

    tasks: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    executions: list[str] = field(default_factory=list)
    ended: dict[str, str] = field(default_factory=dict)
    """State by execution."""
    batches: list[list[str]] = field(default_factory=list)
    """Names of tasks that were asked for together, answered or not."""
    unanswered: dict[str, str] = field(default_factory=dict)
    """Task by the request id of a run."""
    answered: dict[str, str] = field(default_factory=dict)
    """Execution by the request id of a run."""

    def told(self) -> Acknowledged:
        """Return it as the checker reads it."""
        succeeded = [each for each, state in self.ended.items() if state == "SUCCEEDED"]
        return Acknowledged(tasks=self.tasks, executions=self.executions, succeeded=succeeded)

    def note(self, execution: Execution) -> None:
        """Note that somebody was told of an execution."""
        self.executions.append(execution.id)
        if execution.state.is_terminal:
            self.ended[execution.id] = execution.state.value

    def broken(self, place: Path | str) -> list[str]:
        """Return what the database says otherwise, besides what the checker sees."""
        living = {row["name"] for row in rows(place, "SELECT name FROM scheduled_tasks WHERE delete_time IS NULL")}
        states = {row["id"]: row["state"] for row in rows(place, "SELECT id, state FROM task_executions")}
        requests = rows(
            place,
            "SELECT request_id, count(*) AS number FROM task_executions WHERE request_id IS NOT NULL"
            " GROUP BY request_id HAVING count(*) > 1",
        )
        return [
            *(f"{row['request_id']} ran {row['number']} times" for row in requests),
            *(f"task {name} was deleted and is there" for name in self.deleted if name in living),
            *(
                f"{each} was told as {state} and is {states.get(each)}"
                for each, state in self.ended.items()
                if states.get(each) != state
            ),
            *self._halves(living),
        ]

    def _halves(self, living: set[str]) -> Iterator[str]:
        for names in self.batches:
            there = living.intersection(names)
            if there and len(there) < len(names):
                yield f"of the batch {names[0]}… {len(there)} of {len(names)} are there"
