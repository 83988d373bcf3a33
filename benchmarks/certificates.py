"""Certificates of an authority of the benchmark's own, by openssl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Files of an authority, and of a server and a client that it has signed."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def make_certificates(folder: Path, *, client_id: str) -> Certificates:
    """Return new certificates in a folder; ``client_id`` is the client's SPIFFE id."""
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    _openssl("req", "-x509", *CURVE, "-days", 2, "-subj", "/CN=benchmark", "-keyout", ca_key, "-out", ca)
    found = Certificates(
        ca=ca,
        server=folder / "server.pem",
        server_key=folder / "server.key",
        client=folder / "client.pem",
        client_key=folder / "client.key",
    )
    names = {found.server: (found.server_key, "DNS:localhost"), found.client: (found.client_key, f"URI:{client_id}")}
    for certificate, (key, name) in names.items():
        request, extensions = certificate.with_suffix(".csr"), certificate.with_suffix(".ext")
        _openssl("req", "-new", *CURVE, "-subj", f"/CN={certificate.stem}", "-keyout", key, "-out", request)
        extensions.write_text(f"subjectAltName={name}\n")
        authority = ("-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-extfile", extensions)
        _openssl("x509", "-req", "-in", request, *authority, "-days", 2, "-out", certificate)
        key.chmod(0o600)
    return found


def _openssl(*arguments: object) -> None:
    command = ["openssl", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)
