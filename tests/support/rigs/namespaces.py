"""A namespace beside the default one, for tests."""

from typing import Any

from support.rigs.rig import Rig

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import TaskFilter, define
from schedule_grpc.service import Service


def wanted(
    name: str = "task", handler: str = "fate", namespace: str = DEFAULT_NAMESPACE, **changes: Any
) -> Registration:
    """Return a registration."""
    definition = define(name=name, namespace=namespace, schedule="@manual", handler=handler, **changes)
    return Registration(definition=definition, allow_unknown_handler=True)


async def reports(rig: Rig, **settings: Any) -> Service:
    """Create a namespace beside the default one; return the service as it works there."""
    await rig.service.create_namespace("reports", **settings)
    return rig.service.in_namespace("reports")


async def listed(service: Service) -> list[str]:
    """Return the names of a namespace's tasks."""
    return [task.name for task in (await service.list_tasks(TaskFilter(), Page())).tasks]
