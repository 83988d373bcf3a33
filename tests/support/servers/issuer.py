"""An issuer of JSON Web Tokens: its keys, its key set over HTTP, and tokens as it signs them and as it never would."""

import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import PyJWS
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from support.servers.http_server import HttpServer, http_server, response

NAME = "https://issuer.example"
AUDIENCE = "schedule"
SUBJECT = "system:serviceaccount:reports:worker"
MAKERS: Mapping[str, Callable[[], Any]] = {
    "RS": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "PS": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


def new_key(algorithm: str) -> Any:
    """Return a new private key for an algorithm."""
    return MAKERS[algorithm if algorithm in MAKERS else algorithm[:2]]()


@cache
def kept_key(number: int) -> Any:
    """Return an RSA key, the same for each number: to make one takes a while."""
    return new_key(f"RS{number}")


def public_jwk(key: Any, key_id: str, **more: Any) -> dict[str, Any]:
    """Return the public part of a key as an entry of a key set."""
    kinds = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    to_jwk = next((each.to_jwk for kind, each in kinds.items() if isinstance(key, kind)), OKPAlgorithm.to_jwk)
    return {**to_jwk(key.public_key(), as_dict=True), "kid": key_id, **more}


def encoded(part: object) -> str:
    """Return a part of a token: JSON, or bytes as they are."""
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(claims: object, key: Any, algorithm: str = "RS256", **header: Any) -> str:
    """Return a token with these claims (or bytes in their place) and header, signed by a key."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return PyJWS().encode(payload, key, algorithm=algorithm, headers={"kid": "first", **header})


@dataclass
class SigningIssuer:
    """An issuer with one RSA key, `first`."""

    server: HttpServer
    now: datetime
    key: Any

    @property
    def url(self) -> str:
        """The URL of its key set."""
        return f"http://127.0.0.1:{self.server.port}/keys"

    @property
    def requests(self) -> int:
        """How often its key set was asked for."""
        return len(self.server.seen)

    def publish(self, *keys: dict[str, Any]) -> None:
        """Publish a key set; without keys: the one key."""
        listed = list(keys) or [public_jwk(self.key, "first", use="sig", alg="RS256")]
        self.server.answer("/keys", response(body=json.dumps({"keys": listed}).encode()))

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a token that begins now and lives for ten minutes; a change to None leaves one out."""
        now = int(self.now.timestamp())
        claims = {"iss": NAME, "aud": AUDIENCE, "sub": SUBJECT, "iat": now, "exp": now + 600} | changes
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, **changes: Any) -> str:
        """Return a token with these changes of its claims."""
        return signed(self.claims(**changes), self.key)


@asynccontextmanager
async def issuing(now: datetime, key: int = 0) -> AsyncIterator[SigningIssuer]:
    """Within this context an issuer publishes its key, the one of a number."""
    async with http_server() as server:
        issuer = SigningIssuer(server, now, kept_key(key))
        issuer.publish()
        yield issuer
