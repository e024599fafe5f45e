"""A program that signs: an assertion and a proof of possession with each request."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from urllib.parse import urlencode

from bench.load import raw
from tests.house import Registered
from tests.keys import BEARER, Holder, Signer, sign
from tests.services.bridge import Bridge

LIFE = 600  # seconds of an assertion


@dataclass
class SigningProgram:
    registered: Registered
    signer: Signer
    holder: Holder

    @classmethod
    async def at(cls, bridge: Bridge) -> SigningProgram:
        signer = Signer()
        registered = await bridge.register(
            client_name="signed", grant_types=("client_credentials",), scopes=("api:read",),
            token_endpoint_auth_method="private_key_jwt", jwks={"keys": [signer.public()]},
            dpop_bound_access_tokens=True,
        )  # fmt: skip
        return cls(registered, signer, Holder())

    def request(self, issuer: str) -> bytes:
        """For a token, at the address of the issuer."""
        now, name = int(time.time()), self.registered.id
        claims = {"iss": name, "sub": name, "aud": issuer, "jti": secrets.token_urlsafe(16)}
        text = json.dumps({**claims, "iat": now, "exp": now + LIFE})
        header = {"alg": self.signer.alg, "kid": self.signer.kid}
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": BEARER,
            "client_assertion": sign(header, text, self.signer.key),
        }
        proof = self.holder.proof(now + 25, f"{issuer}/token")  # made long before it is sent
        return raw("POST", "/token", urlencode(form), dpop=proof)
