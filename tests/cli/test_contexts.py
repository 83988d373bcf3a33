"""Contexts: servers under names, with a namespace and the files that prove who calls."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.servers.process import Server

from schedule_grpc.cli.connection import Caller, connection

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the file of contexts of a user who has a home of their own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def written(text: str) -> Path:
        file = tmp_path / "schedule-grpc" / "contexts.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o644)
        return file

    return written


def test_a_context_names_server_and_namespace(server: Server, tell, write: Write, monkeypatch: pytest.MonkeyPatch):
    """By an option or the environment; it comes before other variables, and options come before it."""
    write(f'[prod]\nserver = "{server.address}"\nnamespace = "spaces"\n[gone]\nserver = "127.0.0.1:1"\n')
    assert tell("namespaces", "create", "spaces", "--context", "prod").code == 0
    monkeypatch.setenv("SCHEDULE_SERVER", "127.0.0.1:1")
    monkeypatch.setenv("SCHEDULE_NAMESPACE", "elsewhere")
    task = ("--schedule", "@manual", "--handler", "steps", "--json")
    assert tell("tasks", "register", "mine", *task, "--context", "prod").json["namespace"] == "spaces"
    monkeypatch.setenv("SCHEDULE_CONTEXT", "prod")
    assert [each["name"] for each in tell("tasks", "list", "--json").json] == ["mine"]
    assert "cleanup-expired-sessions" in tell("tasks", "list", "--namespace", "default").out
    assert tell("tasks", "list", "--context", "gone").code == 3
    assert tell("tasks", "list", "--context", "gone", "--server", server.address, "--namespace", "spaces").code == 0


def test_contexts_are_listed(tell, write: Write):
    """Without their tokens."""
    assert tell("contexts", "list").out.startswith("No contexts: ")
    file = write('[prod]\nserver = "a:1"\nnamespace = "reports"\ntoken_file = "secret"\n[plain]\nserver = "b:2"\n')
    (file.parent / "secret").write_text("sgk_x")
    assert tell("contexts", "list", "--json").json == [
        {"name": "prod", "server": "a:1", "namespace": "reports"},
        {"name": "plain", "server": "b:2", "namespace": None},
    ]
    lines = tell("contexts", "list").out.splitlines()
    assert [line.split() for line in lines] == [
        ["CONTEXT", "SERVER", "NAMESPACE", "TOKEN"],
        ["prod", "a:1", "reports", str(file.parent / "secret")],
        ["plain", "b:2"],
    ]


def test_a_token_file_is_read(write: Write):
    """Its path is relative to the file of contexts; a token of the environment is not sent to the context's server."""
    file = write('[prod]\ntoken_file = "secret"\ntls_ca = "~/ca.pem"\n')
    secret = file.parent / "secret"
    secret.write_text("sgk_secret\n")
    secret.chmod(0o600)
    caller: Caller = connection(context="prod")
    assert (caller.token_file, caller.tls_ca) == (secret, Path.home() / "ca.pem")
    other: Caller = connection(context="prod", token="of the environment", server="elsewhere")
    assert (other.token, other.token_file) == (None, secret)


def test_a_token_file_that_others_can_read_is_refused(tell, write: Write):
    """Their key is as good as its owner's."""
    with tempfile.TemporaryDirectory() as outer:  # pytest's own folders keep others out
        Path(outer).chmod(0o755)
        secret = Path(outer, "secret")
        secret.write_text("sgk_secret")
        secret.chmod(0o644)
        write(f'[prod]\ntoken_file = "{secret}"\n')
        done = tell("tasks", "list", "--context", "prod")
        complaint = f"{secret} can be read or changed by everybody on this machine: chmod 600 it\n"
        assert (done.code, done.err) == (2, complaint)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[prd]", "has no context prod; did you mean prd?"),
        ("[other]", "has no context prod (contexts: other)"),
        ("", "has no context prod (contexts: none)"),
        ("[prod", "contexts.toml: "),
        ("prod = 1", "prod is not a table"),
        ('[prod]\ntoken = "sgk_x"', "prod.token: unknown key; the keys here are server, namespace, token_file"),
        ("[prod]\nserver = 1", "prod.server: is not a text, or empty"),
        ('[prod]\ntoken_file = "missing"', "No such file or directory"),
        ('[prod]\nnamespace = "No"', "is not a small letter followed by"),
    ],
)
def test_a_context_that_cannot_be_used_is_exit_code_2(tell, write: Write, text: str, complaint: str):
    """Before any server is asked, with the reason."""
    write(text)
    done = tell("tasks", "list", "--context", "prod")
    assert (done.code, done.out) == (2, "")
    assert complaint in " ".join(done.err.replace("│", " ").split())


def test_a_file_that_others_can_change_is_refused(tell, write: Write):
    """They would have the token sent to a server of theirs."""
    write('[prod]\nserver = "127.0.0.1:1"\n').chmod(0o666)
    done = tell("tasks", "list", "--context", "prod")
    assert (done.code, "can be changed by other users" in done.err) == (2, True)
