"""The certificate, the key and the client authorities of a listener, as their files have them at each connection.

Certificates live for days or hours and are replaced while the server runs, by cert-manager, certbot or SPIRE. So the
files are looked at whenever a client connects. What they hold is checked before it is used: if a key does not belong
to its certificate, gRPC goes on with the former pair and reports nothing.
"""

import ssl
import stat
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import structlog

log = structlog.get_logger(__name__)

Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]
"""One state of the files: inode, time of change and size of each; None for a file that is missing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsFiles:
    """PEM files: a listener's certificate with its chain, its key, and the authorities of clients' certificates."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    """None: clients are not asked for a certificate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificates:
    """The content of the files at one moment, checked."""

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    context: ssl.SSLContext = field(repr=False)
    """The same for Python's own TLS."""


class ReloadedCertificates:
    """The certificates of a listener, read again when their files change."""

    def __init__(self, files: TlsFiles) -> None:
        """Read the files.

        Raises:
            ValueError: if a file cannot be used; it says which one, and why.
        """
        self._files = files
        self._lock = threading.Lock()  # gRPC asks in threads of its own
        self._stamp = _stamp(files)
        self._current = _read(files)

    @property
    def asks_for_client_certificate(self) -> bool:
        """Whether a client without a certificate is refused."""
        return self._files.client_ca is not None

    def newest(self) -> Certificates:
        """Return the certificates in the files; if these cannot be used, log why and return the former ones."""
        with self._lock:
            stamp = _stamp(self._files)
            if stamp != self._stamp:
                self._stamp = stamp
                self._read_again()
            return self._current

    def _read_again(self) -> None:
        try:
            self._current = _read(self._files)
        except ValueError as error:
            log.error("tls.not_reloaded", error=str(error))  # noqa: TRY400 (the reason is whole; a traceback adds none)
        else:
            log.info("tls.reloaded", certificate=str(self._files.certificate))


def _stamp(files: TlsFiles) -> Stamp:
    return tuple(_stamp_of(path) for path in _paths(files))


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _paths(files: TlsFiles) -> list[Path]:
    return [path for path in (files.certificate, files.key, files.client_ca) if path is not None]


def _read(files: TlsFiles) -> Certificates:
    """Return the certificates in the files.

    Raises:
        ValueError: if a file cannot be read or is not PEM, or if key and certificate do not belong together.
    """
    contents = [_content(path) for path in _paths(files)]
    _refuse_open_key(files.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # TLS 1.2 and newer
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (ssl.SSLError, OSError) as error:
        raise ValueError(f"{files.key} and {files.certificate}: {_reason(error)}") from error
    if files.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(files.client_ca)
        except (ssl.SSLError, OSError) as error:
            raise ValueError(f"{files.client_ca}: {_reason(error)}") from error
    if contents != [_content(path) for path in _paths(files)]:
        raise ValueError(f"{files.certificate}: the files are being replaced")
    certificate, key, *client_ca = contents
    return Certificates(
        certificate=certificate, key=key, client_ca=client_ca[0] if client_ca else None, context=context
    )


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    if b"-----BEGIN " not in content:
        raise ValueError(f"{path}: is not PEM")
    return content


def _refuse_open_key(path: Path) -> None:
    if path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        raise ValueError(f"{path}: every user of this machine can read the key; chmod o= {path}")


def _no_password() -> str:
    raise ValueError("the key is protected by a password, which a server that starts by itself cannot be asked for")


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    return str(reason).lower().replace("_", " ")


def server_context(certificates: ReloadedCertificates) -> ssl.SSLContext:
    """Return a context for a listener of Python's own: each connection gets the certificate of its moment.

    The client authorities are those of the start: OpenSSL takes them from the context that a connection began with.
    """

    def use_newest(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = certificates.newest().context

    context = certificates.newest().context
    context.sni_callback = use_newest
    return context
