"""Certificates of a listener: checked before they are used, read again when their files change."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.servers.authority import Authority, Pair

from schedule_grpc.runtime.certificates import ReloadedCertificates, TlsFiles


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority for all tests here."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def pair(authority: Authority, tmp_path: Path) -> Pair:
    """A pair in files of the test's own."""
    signed = authority.signed("first")
    files = Pair(certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key")
    files.put(signed)
    return files


def files_of(pair: Pair, client_ca: Path | None = None) -> TlsFiles:
    """Return the files of a listener with this pair."""
    return TlsFiles(certificate=pair.certificate, key=pair.key, client_ca=client_ca)


def test_what_changed_is_read_and_what_did_not_is_not(authority: Authority, pair: Pair):
    """Each state of the files once; the log says so."""
    certificates = ReloadedCertificates(files_of(pair))
    first = certificates.newest()
    assert certificates.newest() is first
    second = authority.signed("second")
    pair.put(second)
    with capture_logs() as lines:
        assert certificates.newest().certificate == second.certificate.read_bytes()
        assert certificates.newest().key == second.key.read_bytes()
    assert [line["event"] for line in lines] == ["tls.reloaded"]


def test_a_link_that_is_turned_is_a_change(authority: Authority, tmp_path: Path):
    """As Kubernetes replaces the content of a mounted secret."""
    for number, name in enumerate(("first", "second")):
        signed = authority.signed(name)
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copy(signed.certificate, folder / "tls.crt")
        shutil.copy(signed.key, folder / "tls.key")
    data = tmp_path / "data"
    data.symlink_to("0")
    certificates = ReloadedCertificates(TlsFiles(certificate=data / "tls.crt", key=data / "tls.key"))
    first = certificates.newest()
    (tmp_path / "next").symlink_to("1")
    (tmp_path / "next").rename(data)
    assert certificates.newest().certificate == (tmp_path / "1" / "tls.crt").read_bytes() != first.certificate


SPOILED: dict[str, tuple[Callable[[Pair, Authority], object], str]] = {
    "a key of another certificate": (
        lambda pair, authority: shutil.copyfile(authority.signed("other").key, pair.key),
        r"tls\.key and .*tls\.crt: key values mismatch",
    ),
    "no PEM": (lambda pair, _: pair.certificate.write_text("-"), r"tls\.crt: is not PEM"),
    "a broken certificate": (
        lambda pair, _: pair.certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        r"tls\.key and .*tls\.crt: ",
    ),
    "no file": (lambda pair, _: pair.key.unlink(), r"tls\.key: No such file or directory"),
    "a key for everybody": (lambda pair, _: pair.key.chmod(0o644), r"tls\.key: every user of this machine can read"),
}


@pytest.mark.parametrize("spoiled", SPOILED)
def test_what_cannot_be_used_is_refused_at_the_start(spoiled: str, authority: Authority, pair: Pair):
    """With the file and the reason."""
    spoil, reason = SPOILED[spoiled]
    spoil(pair, authority)
    with pytest.raises(ValueError, match=reason):
        ReloadedCertificates(files_of(pair))


@pytest.mark.parametrize("spoiled", SPOILED)
def test_what_cannot_be_used_later_changes_nothing(spoiled: str, authority: Authority, pair: Pair):
    """The log says why, once; what comes after it is used."""
    certificates = ReloadedCertificates(files_of(pair))
    first = certificates.newest()
    spoil, reason = SPOILED[spoiled]
    spoil(pair, authority)
    touched = pair.key if pair.key.exists() else pair.certificate
    os.utime(touched, ns=(1, 1))  # a mode alone is no new content
    with capture_logs() as lines:
        assert certificates.newest() is first
        assert certificates.newest() is first
    (line,) = lines
    assert line["event"] == "tls.not_reloaded"
    assert re.search(reason, line["error"])
    renewed = authority.signed("renewed")
    pair.put(renewed)
    assert certificates.newest().certificate == renewed.certificate.read_bytes()


def test_a_key_with_a_password_is_refused_without_asking(authority: Authority, pair: Pair):
    """A server that starts by itself has nobody to type it."""
    locked = ["openssl", "ec", "-in", pair.key, "-out", pair.key, "-aes256", "-passout", "pass:secret"]
    subprocess.run(list(map(str, locked)), check=True, capture_output=True)
    with pytest.raises(ValueError, match="protected by a password"):
        ReloadedCertificates(files_of(pair))


def test_authorities_of_clients_are_checked_too(pair: Pair, tmp_path: Path):
    """A file that holds none would refuse everybody."""
    wrong = tmp_path / "ca.pem"
    wrong.write_text("-----BEGIN NOTHING-----\n")
    with pytest.raises(ValueError, match=r"ca\.pem: "):
        ReloadedCertificates(files_of(pair, wrong))
