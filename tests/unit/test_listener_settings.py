"""Listeners as they are written: a text, a table, a list; what is refused, with the place of its writer."""

from pathlib import Path

import pytest

from schedule_grpc.errors import ConfigurationError
from schedule_grpc.settings.config import addresses, load


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch):
    """No schedule.toml but the test's own."""
    monkeypatch.chdir(tmp_path)


def test_a_list_of_texts_and_tables(tmp_path: Path):
    """Relative paths are those of the working directory at the start."""
    (tmp_path / "schedule.toml").write_text(
        'grpc = ["127.0.0.1:1", "unix:run/grpc.sock", {address = "[::1]:2", tls_cert = "a.crt", tls_key = "a.key"}]\n'
        '[http]\nallowed_hosts = ["ops"]\n'
        '[[http.address]]\naddress = "unix:/run/http.sock"\nsocket_mode = "660"\n'
        '[[http.address]]\naddress = "0.0.0.0:3"\ntls_cert = "a.crt"\ntls_key = "a.key"\nclient_ca = "ca.pem"\n'
    )
    settings = load({})
    assert addresses(settings.grpc) == f"127.0.0.1:1, unix:{tmp_path}/run/grpc.sock, [::1]:2"
    assert settings.grpc[2].tls_key == tmp_path / "a.key"
    assert addresses(settings.http.address) == "unix:/run/http.sock, 0.0.0.0:3"
    assert [each.mode for each in settings.http.address] == [0o660, 0o600]
    assert settings.http.address[1].client_ca == tmp_path / "ca.pem"
    assert settings.http.allowed_hosts == ["ops"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("127.0.0.1:1,unix:/x", "127.0.0.1:1, unix:/x"),
        ('["127.0.0.1:1", "unix:/x"]', "127.0.0.1:1, unix:/x"),
        ("[::1]:1", "[::1]:1"),
        ("[::1]:1, [::1]:2", "[::1]:1, [::1]:2"),
        ('{"address": "localhost:1"}', "localhost:1"),
        ('[{"address": "localhost:1"}, "localhost:2"]', "localhost:1, localhost:2"),
    ],
)
def test_a_variable_holds_commas_or_json(text: str, read: str, monkeypatch):
    """As every list does, of gRPC and of HTTP."""
    for variable in ("SCHEDULE_GRPC", "SCHEDULE_HTTP__ADDRESS"):
        monkeypatch.setenv(variable, text)
    settings = load({})
    assert (addresses(settings.grpc), addresses(settings.http.address)) == (read, read)


@pytest.mark.parametrize(
    ("grpc", "complaint"),
    [
        ("50051", "--grpc: '50051' is not HOST:PORT"),
        ([], "--grpc: names no address"),
        ({"tls_cert": "a"}, "--grpc: [0].address: Field required"),
        ({"address": "localhost:1", "tls_cert": "a"}, "--grpc: [0]: localhost:1: tls_cert and tls_key belong together"),
        (
            {"address": "localhost:1", "client_ca": "a"},
            "--grpc: [0]: localhost:1: client_ca needs tls_cert and tls_key",
        ),
        ({"address": "localhost:1", "socket_mode": "660"}, "--grpc: [0]: localhost:1: socket_mode is for unix:PATH"),
        (
            {"address": "unix:/x", "socket_mode": "rw"},
            "--grpc: [0]: unix:/x: socket_mode 'rw' is not an octal mode such as 660",
        ),
        ({"address": "unix:/x", "socket_mode": "1777"}, "socket_mode '1777' is not an octal mode such as 660"),
        ("unix:", "--grpc: unix: is not unix:PATH with a path of 1 to 107 bytes"),
        ("unix:@abstract", "--grpc: unix:@abstract is not unix:PATH"),
        ("unix:" + "x" * 108, "is not unix:PATH with a path of 1 to 107 bytes"),
        ({"address": "localhost:1", "tls_crt": "a"}, "--grpc: [0].tls_crt: unknown key; did you mean tls_cert?"),
        (["localhost:1", "0.0.0.0:1"], "grpc: 0.0.0.0:1 can be reached by others, so callers must prove who they are"),
        (
            {"address": "0.0.0.0:1", "tls_cert": "a", "tls_key": "b"},
            "grpc: 0.0.0.0:1 can be reached by others, so callers must prove who they are",
        ),
    ],
)
def test_what_cannot_be_is_refused(grpc: object, complaint: str):
    """By its place and with its reason; TLS alone says nothing about who calls."""
    with pytest.raises(ConfigurationError) as caught:
        load({"grpc": grpc})
    assert complaint in str(caught.value)


def test_who_is_known_may_come_from_afar():
    """By a certificate; and a unix socket is on this machine."""
    known = {"address": "0.0.0.0:1", "tls_cert": "a", "tls_key": "b", "client_ca": "c"}
    assert addresses(load({"grpc": [known, "unix:/x"]}).grpc) == "0.0.0.0:1, unix:/x"


def test_keys_of_a_listener_are_looked_for_in_the_list():
    """A table [http] has the listeners in `address`."""
    with pytest.raises(ConfigurationError, match=r"--http: tls_cert: unknown key; did you mean address\.tls_cert\?"):
        load({"http": {"tls_cert": "a"}})
