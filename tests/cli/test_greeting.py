"""The commands that a server's greeting suggests reach it, on every kind of listener."""

import pytest

from schedule_grpc.app import RunningServer
from schedule_grpc.cli.commands import serve
from schedule_grpc.runtime.listeners import Bound


@pytest.mark.parametrize(
    ("bound", "grpcurl", "curl", "url"),
    [
        (
            Bound(address="127.0.0.1:1", encrypted=False),
            "grpcurl -plaintext -d X 127.0.0.1:1",
            "curl http://127.0.0.1:1/tasks",
            "http://127.0.0.1:1",
        ),
        (
            Bound(address="127.0.0.1:1", encrypted=True),
            "grpcurl -cacert CA.pem -d X 127.0.0.1:1",
            "curl --cacert CA.pem https://127.0.0.1:1/tasks",
            "https://127.0.0.1:1",
        ),
        (
            Bound(address="unix:/run/s.sock", encrypted=False),
            "grpcurl -plaintext -d X -unix /run/s.sock",
            "curl --unix-socket /run/s.sock http://localhost/tasks",
            "unix:/run/s.sock",
        ),
        (
            Bound(address="unix:/run/s.sock", encrypted=True),
            "grpcurl -cacert CA.pem -d X -unix /run/s.sock",
            "curl --cacert CA.pem --unix-socket /run/s.sock https://localhost/tasks",
            "unix:/run/s.sock (TLS)",
        ),
    ],
)
def test_a_listener_has_its_commands(bound: Bound, grpcurl: str, curl: str, url: str):
    """The place of CA.pem is the reader's to fill; a socket is named by its path."""
    assert (serve._grpcurl(bound, "-d X"), serve._curl(bound, "/tasks"), serve._url(bound)) == (grpcurl, curl, url)


@pytest.mark.parametrize("asks_callers", [True, False])
def test_a_server_that_asks_for_keys_says_where_they_go(asks_callers: bool, capsys: pytest.CaptureFixture[str]):
    """In each command that it suggests; one that asks nobody does not speak of keys."""
    bound = (Bound(address="127.0.0.1:1", encrypted=False),)
    facts = {"tasks": (), "more": False, "api": True, "ui": True}
    serve._greet(RunningServer(grpc_addresses=bound, http_addresses=bound, asks_callers=asks_callers, **facts))
    greeting = capsys.readouterr().out
    assert ("Try, with your key in place of KEY:" in greeting) is asks_callers
    assert greeting.count("-H 'authorization: Bearer KEY'") == (2 if asks_callers else 0)


@pytest.mark.parametrize(
    ("api", "ui", "prefix", "offered"),
    [
        (True, True, "", "dashboard at /ui, documentation at /docs"),
        (True, True, "/ops", "dashboard at /ops/ui, documentation at /ops/docs"),
        (True, False, "", "documentation at /docs"),
        (False, True, "/ops", "/health and /metrics"),
    ],
)
def test_what_a_browser_finds_is_said(
    api: bool, ui: bool, prefix: str, offered: str, capsys: pytest.CaptureFixture[str]
):
    """The dashboard first, where there is one; below the prefix of the settings."""
    bound = (Bound(address="127.0.0.1:1", encrypted=False),)
    facts = {"tasks": (), "more": False, "asks_callers": False, "path_prefix": prefix}
    serve._greet(RunningServer(grpc_addresses=bound, http_addresses=bound, api=api, ui=ui, **facts))
    greeting = capsys.readouterr().out
    assert f"HTTP on http://127.0.0.1:1 ({offered})\n" in greeting
    assert f"curl http://127.0.0.1:1{prefix}/tasks\n" in greeting or not api
