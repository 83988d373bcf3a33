"""Hosts and secrets of http-request by namespace, as an operator writes them."""

import json
from pathlib import Path

import pytest

from schedule_grpc.errors import ConfigurationError
from schedule_grpc.settings.config import load
from schedule_grpc.settings.http_request import NamespaceHosts, SecretOptions


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No schedule.toml but the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


SECRET = {"file": "reports", "hosts": ["api.example.com"], "namespaces": ["reports"]}
HOSTS = {"allow_hosts": ["api.example.com"]}


def test_a_secret_has_hosts_and_namespaces(folder: Path):
    """And its file is the one of the folder in which settings are read."""
    (folder / "schedule.toml").write_text("""
        [http_request]
        allow_hosts = ["hooks.example.com"]
        [http_request.namespaces.reports]
        allow_hosts = ["api.example.com"]
        [http_request.secrets.REPORTS]
        file = "reports"
        hosts = ["api.example.com"]
        namespaces = ["reports"]
    """)
    options = load({}).http_request
    assert options.secrets == {
        "REPORTS": SecretOptions(file=folder / "reports", hosts=["api.example.com"], namespaces=["reports"])
    }
    assert options.namespaces == {"reports": NamespaceHosts(allow_hosts=["api.example.com"])}


def test_the_environment_has_them_as_json(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """In a variable for each table of tables."""
    monkeypatch.setenv("SCHEDULE_HTTP_REQUEST__SECRETS", json.dumps({"REPORTS": SECRET}))
    monkeypatch.setenv("SCHEDULE_HTTP_REQUEST__NAMESPACES", json.dumps({"reports": HOSTS}))
    options = load({}).http_request
    assert options.secrets["REPORTS"].file == folder / "reports"
    assert options.namespaces["reports"].allow_hosts == ["api.example.com"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"secrets": {"REPORTS": {"file": "a", "hosts": ["h"]}}}, "secrets.REPORTS.namespaces: Field required"),
        ({"secrets": {"REPORTS": SECRET | {"hosts": []}}}, "secrets.REPORTS.hosts: Value should have at least 1 item"),
        (
            {"secrets": {"REPORTS": SECRET | {"namespaces": []}}},
            "secrets.REPORTS.namespaces: Value should have at least 1",
        ),
        ({"secrets": {"REPORTS": SECRET | {"namespaces": ["*"]}}}, "'*' is not a small letter followed by"),
        ({"secrets": {"REPORTS": SECRET | {"host": "h"}}}, "secrets.REPORTS.host: unknown key; did you mean hosts?"),
        ({"secrets": {"a b": SECRET}}, "'a b' is not a name such as REPORTS"),
        ({"secrets": {"": SECRET}}, "'' is not a name such as REPORTS"),
        ({"namespaces": {"Reports": HOSTS}}, "'Reports' is not a small letter followed by"),
        ({"namespaces": {"reports": {"allow_host": []}}}, "reports.allow_host: unknown key; did you mean allow_hosts?"),
        ({"namespaces": ["reports"]}, "namespaces: is not a table"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], complaint: str):
    """By its place and with its reason."""
    with pytest.raises(ConfigurationError) as caught:
        load({"http_request": options})
    assert complaint in str(caught.value)
