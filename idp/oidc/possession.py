"""What a request shows to hold: a key, by a DPoP proof (RFC 9449), or a certificate in TLS (RFC
8705). Tokens are bound to it, and bound tokens are worth nothing without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from starlette.requests import Request

from idp import dpop, mtls
from idp.dpop import BadProof, Call, Nonces, NonceWanted
from idp.kernel.caller import caller_of
from idp.kernel.database import Transaction
from idp.kernel.errors import InvalidDpopProof, InvalidRequest, InvalidToken, UseDpopNonce
from idp.kernel.services import Services
from idp.mtls import X5T, BadCertificate, Shown
from idp.oidc import store
from idp.oidc.preload import Held, SpendProof
from idp.oidc.request import AuthorizationRequest
from idp.registry.clients import Client

JKT = "jkt"  # RFC 9449 §6.1


class Possession:
    """`demanded`: every proof must hold a nonce of ours."""

    def __init__(self, services: Services, *, demanded: bool) -> None:
        self._services = services
        self._nonces = Nonces(lambda text: services.vault.mac("dpop-nonce", text), demanded)

    def of(self, request: Request, token: str = "") -> Held:
        """What this request shows to hold; the caller commits the effects with its own.
        Raises InvalidDpopProof, UseDpopNonce."""
        headers = request.headers.getlist("dpop")
        if not headers:
            return Held()
        now = self._services.clock.now()
        call = Call(request.method, (self._address(request),), now, token)
        try:
            proof = dpop.verified(headers, call, self._nonces)
        except BadProof as bad:
            raise InvalidDpopProof(f"DPoP proof: {bad}") from None
        except NonceWanted:
            raise UseDpopNonce(self._nonces.fresh(now)) from None
        return Held(proof.jkt, (SpendProof(proof.mark, proof.until),))

    def of_client(self, request: Request, client: Client) -> Held:
        """What this request for tokens shows to hold, and at least what its client is held to.
        Raises InvalidDpopProof, UseDpopNonce, InvalidRequest."""
        held = self.of(request)
        if client.metadata.dpop_bound_access_tokens and not held.jkt:  # RFC 9449 §5.2
            raise InvalidDpopProof("a DPoP proof is required of this client")
        if not client.metadata.tls_client_certificate_bound_access_tokens:  # RFC 8705 §3.4
            return held
        shown = certificate_of(request)
        if shown is None:
            raise InvalidRequest("a client certificate is required: see mtls_endpoint_aliases")
        return replace(held, x5t=shown.thumbprint)

    def _address(self, request: Request) -> str:
        """Under the name that we publish, whatever proxies are in between; never under the Host
        that somebody sent."""
        settings = self._services.settings
        base = settings.mtls.url if caller_of(request).mutual else settings.issuer
        return base + quote(request.scope["path"])

    def headers(self, request: Request) -> dict[str, str]:
        """For an answer: the nonce of the next proof, where one is needed (RFC 9449 §8.2)."""
        if not self._nonces.demanded or "dpop" not in request.headers:
            return {}
        return {"DPoP-Nonce": self._nonces.fresh(self._services.clock.now())}

    # ── at a resource ──────────────────────────────────────────────────────────────────────────

    async def confirm(
        self, request: Request, claims: Mapping[str, Any], scheme: str, token: str
    ) -> None:
        """A bound token opens only for who holds the key, and under its own scheme: as Bearer it
        would be taken by whoever does not know of keys (RFC 9449 §7.1, §7.2). One that is bound to
        a certificate opens only where that is shown (RFC 8705 §3). Raises InvalidToken,
        InvalidRequest, InvalidDpopProof, UseDpopNonce."""
        confirmation = claims.get("cnf", {})
        if not confirmation.keys() <= {JKT, X5T}:  # one that this version does not know
            raise InvalidToken(detail="bound in another way")
        if X5T in confirmation:
            shown = certificate_of(request)
            if shown is None or shown.thumbprint != confirmation[X5T]:
                raise InvalidToken("the access token is bound to another client certificate")
        if (scheme == "dpop") != (JKT in confirmation):
            raise InvalidToken(detail="the scheme is not that of the token")
        if JKT not in confirmation:
            return
        try:
            await self._spend(self._matching(request, confirmation[JKT], token))
        except InvalidDpopProof as bad:
            raise bad.at_resource() from None

    def _matching(self, request: Request, jkt: str, token: str) -> Held:
        held = self.of(request, token)
        if not held.jkt:
            raise InvalidDpopProof("a DPoP proof is required")
        if held.jkt != jkt:
            raise InvalidDpopProof("DPoP proof: the token is bound to another key")
        return held

    async def _spend(self, held: Held) -> None:
        """Each proof once."""

        async def work(tx: Transaction) -> None:
            for proof in held.effects:
                if not await store.spend_proof(tx, proof.mark, proof.until):
                    raise InvalidDpopProof("DPoP proof: jti was used before")

        await self._services.database.write(work)


def certificate_of(request: Request) -> Shown | None:
    """The one that was shown in TLS, as our proxy handed it over. Raises InvalidRequest."""
    try:
        return mtls.shown(caller_of(request).certificate)
    except BadCertificate as bad:
        raise InvalidRequest(f"client certificate: {bad}") from None


def bound(asked: AuthorizationRequest, held: Held) -> AuthorizationRequest:
    """RFC 9449 §10.1: a proof that comes with a pushed request is as good as `dpop_jkt`.
    Raises InvalidDpopProof if both are there and differ."""
    if held.jkt and asked.dpop_jkt not in ("", held.jkt):
        raise InvalidDpopProof("dpop_jkt is of another key than the DPoP proof")
    return replace(asked, dpop_jkt=held.jkt or asked.dpop_jkt)
