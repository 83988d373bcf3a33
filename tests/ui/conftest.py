"""The pages of a whole service on a clock that stands still, read without a browser."""

from collections.abc import AsyncIterator, Callable

import pytest
from prometheus_client import CollectorRegistry
from support.callers.page_reader import Reader
from support.rigs.door import Door, door_of
from support.rigs.rig import Rig

from schedule_grpc.access.sessions import Sessions
from schedule_grpc.api.http import Access, BelowPrefix, Guard, application
from schedule_grpc.api.ui.dashboard import Dashboard, Shown
from schedule_grpc.api.ui.html import policy_for
from schedule_grpc.api.ui.pages import add_pages

HOSTS = frozenset({"schedule.example"})


def reader_of(
    rig: Rig,
    *,
    changes: bool = True,
    troubles: tuple[str, ...] = (),
    path_prefix: str = "",
    sites: tuple[str, ...] = (),
) -> Reader:
    """Return a reader of the pages of a rig's service, which is below the prefix itself where one is named."""
    sessions = Sessions(rig.store, rig.clock, path_prefix)
    dashboard = Dashboard(
        clock=rig.clock,
        sessions=sessions,
        shown=Shown(title="test", version="0", changes=changes),
        troubles=lambda: troubles,
        facts=lambda: {"database": "sqlite:///tasks.db"},
        policy=policy_for(sites),
    )
    app = application(
        rig.service,
        registry=CollectorRegistry(),
        troubles=lambda: troubles,
        unready=lambda: troubles,
        clock=rig.clock,
        pages=lambda made, service: add_pages(made, service, dashboard),
    )
    access = Access(hosts=HOSTS, changes=changes)
    guard = Guard(app, access=access, clock=rig.clock, answered=lambda *_: None, sessions=sessions)
    if not path_prefix:
        return Reader(app=guard, until_done=rig.until_done)
    below = BelowPrefix(guard, path_prefix, lambda *_: None)
    return Reader(app=below, until_done=rig.until_done, prefix=path_prefix, strips=False)


@pytest.fixture
async def pages(rig: Rig) -> AsyncIterator[Reader]:
    """A reader of the rig's pages."""
    yield reader_of(rig)
    rig.service.drain()


@pytest.fixture
def pages_with(rig: Rig) -> Callable[..., Reader]:
    """Make a reader of the rig's pages, served with other options."""
    return lambda **options: reader_of(rig, **options)


@pytest.fixture
def door(rig: Rig) -> Door:
    """A server that asks everybody for a key."""
    return door_of(rig)
