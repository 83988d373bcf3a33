"""Operations on declared tasks, as generators (see schedule_grpc.database): which of them are not stored so."""

from collections.abc import Sequence

from schedule_grpc.database import Operation, Row
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import Task
from schedule_grpc.store.operations.tasks import keyed
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import definition_columns, has_place, task_of


def differing(wanted: Sequence[Registration]) -> Operation[tuple[tuple[Registration, Task | None], ...]]:
    """Read the tasks to register; leave out registrations that their rows hold already, letter for letter."""
    rows = yield QUERIES.find_tasks_by_name, keyed(each.definition.key for each in wanted)
    stored = {(row["namespace"], row["name"]): row for row in rows}
    found = ((each, stored.get(each.definition.key)) for each in wanted)
    return tuple(
        (each, None if row is None else task_of(row)) for each, row in found if row is None or not _holds(row, each)
    )


def _holds(row: Row, wanted: Registration) -> bool:
    """Return whether a row holds a registration letter for letter.

    False does not mean that registering changes it: an older program may have written the same policy as another text.
    """
    if wanted.enabled is not None and wanted.enabled != bool(row["enabled"]):
        return False
    columns = definition_columns(wanted.definition)
    return all(row[column] == text for column, text in columns.items()) and has_place(row)
