"""The proofs beside keys: certificates and issuers' tokens, as ways to prove who a caller is."""

from dataclasses import dataclass

from schedule_grpc.access.certificates import CertificateIdentities
from schedule_grpc.access.credentials import Credentials
from schedule_grpc.access.jwt_tokens import JwtIssuers
from schedule_grpc.access.proven import Proven


@dataclass(frozen=True, slots=True)
class ByToken:
    """A token that an issuer has signed."""

    issuers: JwtIssuers

    async def prove(self, credentials: Credentials) -> Proven | None:
        """Return the subject of the token, until its end."""
        token = credentials.token
        return None if token is None else await self.issuers.caller(token)


@dataclass(frozen=True, slots=True)
class ByCertificate:
    """The certificate of the connection. A call that shows a token as well is judged by that alone."""

    identities: CertificateIdentities

    async def prove(self, credentials: Credentials) -> Proven | None:
        """Return the holder of the certificate."""
        if credentials.certificate is None or credentials.authorization:
            return None
        caller = self.identities.caller(credentials.certificate)
        return None if caller is None else Proven(caller)
