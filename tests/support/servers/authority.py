"""A certificate authority of a test's own, by openssl: what it signs, what it would not, and files that hold it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

KEYS = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
"""What Python 3.13 asks of certificates beside RFC 5280's musts (ssl.VERIFY_X509_STRICT), with the key's usage."""
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
DAYS = 2


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path

    def put(self, other: "Pair") -> None:
        """Replace the content of the files by another pair's, as a program does that renews certificates."""
        for mine, new in ((self.key, other.key), (self.certificate, other.certificate)):
            beside = mine.with_suffix(".new")
            beside.write_bytes(new.read_bytes())
            beside.chmod(0o600)
            beside.rename(mine)


class Authority:
    """Signs certificates; ``ca`` is its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.ca = folder / "ca.pem"
        self._key = folder / "ca.key"
        own = (*CURVE, "-days", DAYS, "-subj", "/CN=authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        _openssl("req", "-x509", *own, "-keyout", self._key, "-out", self.ca)

    def signed(
        self, name: str, *, names: str = "DNS:localhost,IP:127.0.0.1", days: int = DAYS, subject: str = ""
    ) -> Pair:
        """Return a certificate of that common name, for these subject alternative names.

        Args:
            name: The common name, and what its files are called.
            names: Subject alternative names, as openssl writes them; empty for none.
            days: How long it is valid; -1: it has ended.
            subject: The subject, as openssl writes it (``/O=A/CN=B``), if it has more than the common name.
        """
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        _openssl("req", "-new", "-utf8", *CURVE, "-subj", subject or f"/CN={name}", "-keyout", key, "-out", request)
        named = f"subjectAltName={names}\n" if names else "basicConstraints=CA:FALSE\n"
        extensions.write_text(named + KEYS)
        authority = ("-CA", self.ca, "-CAkey", self._key, "-CAcreateserial", "-extfile", extensions)
        _openssl("x509", "-req", "-in", request, *authority, "-days", days, "-out", certificate)
        key.chmod(0o600)
        return Pair(certificate=certificate, key=key)


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
