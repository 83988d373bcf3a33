"""The suite with keys is one: its servers ask for a key, and refuse another one than their own."""

import httpx2
import pytest
from support.patience import calling
from support.servers.live import Live

from schedule_grpc.errors import Unauthenticated

pytestmark = pytest.mark.skipif("not config.getoption('--keyed')", reason="servers ask for keys with --keyed only")


async def test_a_server_in_the_tests_process_asks_for_its_key(live: Live):
    """Which a client shows that is given none; a token of the test's own is left as it is."""
    assert (await live.client.who_am_i()).name == "key:bootstrap"
    async with calling(live.parts.address, token="sgk_unknown") as stranger:
        with pytest.raises(Unauthenticated):
            await stranger.list_tasks()


def test_a_server_process_asks_for_its_key(web: httpx2.Client):
    """Over HTTP."""
    assert web.get("/whoami").json()["caller"]["name"] == "key:bootstrap"
    assert web.get("/tasks", headers={"authorization": "Bearer sgk_unknown"}).status_code == 401
