"""Plain reasons why a server cannot be reached: gRPC's own texts are for its developers."""

import re
from collections.abc import Mapping

_REASONS: Mapping[str, str] = {
    r"http1\.x server|Expected SETTINGS frame": "something answers there, but not gRPC: the gRPC interface has an "
    "address of its own, beside that of HTTP",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not signed by an authority that is trusted here",
    "Hostname Verification Check failed": "its certificate is for another name",
    "(?i)tls handshake|SSL_ERROR": "it does not speak TLS there",
    "Connection refused": "nothing listens there: is the server running, and is this its gRPC address?",
    "No such file or directory": "there is no such socket: is the server running?",
    r"errors resolving|lookup (failed|error)": "there is no host of this name",
    "(?i)unreachable|no route to host": "no network leads there",
    "(?i)timed out": "no answer in time: is it running, and does a firewall let calls pass?",
    "failed to connect.*(Socket closed|Connection reset|Broken pipe)": "it closes connections: does it want TLS, and "
    "is it a gRPC server?",
    "Socket closed|Connection reset|Broken pipe|GOAWAY|Cancelling all calls|^CANCELLED$": "the connection was cut: was "
    "the server stopped?",
    "Deadline Exceeded": "Deadline Exceeded: no answer in time",
}
"""By a pattern in gRPC's text; the first match counts."""


def in_words(text: str) -> str:
    """Return the plain reason for a text of gRPC's, on one line; an unknown text as it is."""
    for found, words in _REASONS.items():
        if re.search(found, text, re.DOTALL):
            return words
    return " ".join(text.split())
