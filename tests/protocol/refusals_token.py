"""What /token refuses: grants, client authentication, proofs."""

from __future__ import annotations

from tests.protocol.provider import RESOURCE, VERIFIER, Known, Provider
from tests.protocol.refusals import JSON, Case


async def _used_code(provider: Provider) -> str:
    code = await provider.code(provider.request())
    assert await provider.redeem(code=code) == "200"
    return await provider.redeem(code=code)


async def _used_proof(provider: Provider) -> str:
    proof = provider.proof()
    assert await provider.credentials(proof) == "200"
    return await provider.credentials(proof)


async def _used_assertion(provider: Provider) -> str:
    assert await provider.signed(jti="one") == "200"
    return await provider.signed(jti="one")


async def _two_secrets(provider: Provider) -> str:
    web = provider.web
    return await provider.redeem(("client_id", web.id), ("client_secret", web.secret or ""))


TOKEN: list[Case] = [
    Case(
        "TK-02",
        "a request in JSON",
        lambda p: p.post("token", b"{}", **JSON),
        "400 invalid_request",
    ),
    Case("TK-04", "no grant_type", lambda p: p.token(client=p.web), "400 invalid_request"),
    Case(
        "TK-05",
        "grant_type=password",
        lambda p: p.token(client=p.web, grant_type="password", username="a", password="b"),
        "400 unsupported_grant_type",
    ),
    Case(
        "TK-05",
        "an unknown grant_type",
        lambda p: p.token(client=p.web, grant_type="人"),
        "400 unsupported_grant_type",
    ),
    Case(
        "TK-05",
        "a grant_type that the client may not use",
        lambda p: p.token(client=p.web, grant_type="client_credentials"),
        "400 unauthorized_client",
        "400 invalid_request",
        "RFC 6749 §5.2 names unauthorized_client",
    ),
    Case("TK-07", "code twice", lambda p: p.redeem(("code", "again")), "400 invalid_request"),
    Case(
        "TK-07",
        "scope twice",
        lambda p: p.token(
            ("scope", "api:write"),
            client=p.program,
            grant_type="client_credentials",
            scope="api:read",
        ),
        "400 invalid_request",
    ),
    Case("TK-08", "two secrets, by Basic and in the body", _two_secrets, "400 invalid_request"),
    Case(
        "TK-10",
        "an unknown client",
        lambda p: p.redeem(client=Known("nobody", "secret")),
        "401 invalid_client",
    ),
    Case(
        "TK-10",
        "a wrong secret",
        lambda p: p.redeem(client=Known(p.web.id, "wrong")),
        "401 invalid_client",
    ),
    Case(
        "TK-10",
        "no client at all",
        lambda p: p.token(grant_type="client_credentials"),
        "401 invalid_client",
        "400 invalid_request",
        "RFC 6749 §5.2: no authentication included is invalid_client",
    ),
    Case(
        "TK-11",
        "Basic that is no Base64",
        lambda p: p.token(grant_type="client_credentials", headers={"authorization": "Basic !!!!"}),
        "401 invalid_client",
        "400 invalid_request",
        "RFC 6749 §5.2: a failed attempt in the header is 401 with WWW-Authenticate",
    ),
    Case(
        "TK-11",
        "Basic without a colon",
        lambda p: p.token(grant_type="client_credentials", headers={"authorization": "Basic YWJj"}),
        "401 invalid_client",
        "400 invalid_request",
        "RFC 6749 §5.2: a failed attempt in the header is 401 with WWW-Authenticate",
    ),
    Case("TK-13", "an assertion twice", _used_assertion, "401 invalid_client"),
    Case(
        "TK-14",
        "an assertion for another server",
        lambda p: p.signed(aud="https://evil.test"),
        "401 invalid_client",
    ),
    Case(
        "TK-14",
        "an assertion for two servers",
        lambda p: p.signed(aud=[p.issuer, "https://evil.test"]),
        "401 invalid_client",
        "200",
        "the other server could use it here (CVE-2025-27370)",
    ),
    Case(
        "TK-16",
        "an assertion with alg none",
        lambda p: p.signed({"alg": "none"}),
        "401 invalid_client",
    ),
    Case(
        "TK-16",
        "an assertion by an unknown key",
        lambda p: p.signed({"kid": "other"}),
        "401 invalid_client",
    ),
    Case(
        "TK-17", "an assertion of two names", lambda p: p.signed(sub="other"), "401 invalid_client"
    ),
    Case(
        "TK-17",
        "an assertion that has expired",
        lambda p: p.signed(exp=int(p.now()) - 120, iat=int(p.now()) - 180),
        "401 invalid_client",
    ),
    Case("TK-17", "an assertion without exp", lambda p: p.signed(exp=None), "401 invalid_client"),
    Case("TK-17", "an assertion without jti", lambda p: p.signed(jti=None), "401 invalid_client"),
    Case("TK-19", "an unknown code", lambda p: p.redeem(code="unknown"), "400 invalid_grant"),
    Case("TK-19", "no code", lambda p: p.redeem(code=None), "400 invalid_request"),
    Case(
        "TK-20",
        "the code of another client",
        lambda p: p.redeem(client=p.other),
        "400 invalid_grant",
    ),
    Case("TK-22", "a code twice", _used_code, "400 invalid_grant"),
    Case(
        "TK-22",
        "another redirect_uri than at /authorize",
        lambda p: p.redeem(redirect_uri="https://service.test/other"),
        "400 invalid_grant",
    ),
    Case(
        "TK-22",
        "no redirect_uri",
        lambda p: p.redeem(redirect_uri=None),
        "400 invalid_grant",
        "200",
        "RFC 6749 §4.1.3 requires it where /authorize had it",
    ),
    Case(
        "TK-25",
        "no code_verifier",
        lambda p: p.redeem(code_verifier=None),
        "400 invalid_grant",
    ),
    Case(
        "TK-26",
        "a wrong code_verifier",
        lambda p: p.redeem(code_verifier=VERIFIER[::-1]),
        "400 invalid_grant",
    ),
    Case(
        "TK-28",
        "a code_verifier of 42 characters",
        lambda p: p.redeem(code_verifier="a" * 42),
        "400 invalid_request",
    ),
    Case(
        "TK-32",
        "an unknown refresh token",
        lambda p: p.token(client=p.web, grant_type="refresh_token", refresh_token="x"),
        "400 invalid_grant",
    ),
    Case(
        "TK-32",
        "no refresh token",
        lambda p: p.token(client=p.web, grant_type="refresh_token"),
        "400 invalid_request",
    ),
    Case(
        "TK-41",
        "client credentials of a public client",
        lambda p: p.token(client=p.app, grant_type="client_credentials"),
        "401 invalid_client",
        "400 invalid_request",
        "RFC 6749 §4.4: for clients that authenticate",
    ),
    Case(
        "TK-43",
        "an unknown resource",
        lambda p: p.credentials(resource="https://evil.test"),
        "400 invalid_target",
    ),
    Case(
        "TK-43",
        "a resource that is no URI",
        lambda p: p.credentials(resource="api"),
        "400 invalid_target",
    ),
    Case(
        "TK-43",
        "a resource with a fragment",
        lambda p: p.credentials(resource=f"{RESOURCE}#a"),
        "400 invalid_target",
    ),
    Case(
        "TK-43",
        "a scope that the program may not have",
        lambda p: p.credentials(scope="api:other"),
        "400 invalid_scope",
        "200",
        "RFC 6749 §3.3 permits both; the program's owner notices an error",
    ),
]
DPOP: list[Case] = [
    Case("TK-47", "a proof that is no JWT", lambda p: p.credentials("a"), "400 invalid_dpop_proof"),
    Case(
        "TK-47",
        "a proof twice",
        _used_proof,
        "400 invalid_dpop_proof",
        "400 invalid_grant",
        "RFC 9449 §5 names invalid_dpop_proof for a proof that is not accepted",
    ),
    Case(
        "TK-47",
        "a proof for another address",
        lambda p: p.credentials(p.proof(uri="https://evil.test/token")),
        "400 invalid_dpop_proof",
    ),
    Case(
        "TK-47",
        "a proof for another path",
        lambda p: p.credentials(p.proof(uri=f"{p.issuer}/par")),
        "400 invalid_dpop_proof",
    ),
    Case(
        "TK-47",
        "a proof for GET",
        lambda p: p.credentials(p.proof(method="GET")),
        "400 invalid_dpop_proof",
    ),
    Case(
        "TK-47",
        "a proof with typ JWT",
        lambda p: p.credentials(p.proof({"typ": "JWT"})),
        "400 invalid_dpop_proof",
    ),
    Case(
        "TK-47",
        "a proof without typ",
        lambda p: p.credentials(p.proof({"typ": None})),
        "400 invalid_dpop_proof",
    ),
    Case(
        "TK-47",
        "a proof with alg none",
        lambda p: p.credentials(p.proof({"alg": "none"})),
        "400 invalid_dpop_proof",
    ),
    Case(
        "TK-47",
        "a proof with alg HS256",
        lambda p: p.credentials(p.proof({"alg": "HS256"})),
        "400 invalid_dpop_proof",
    ),
    Case(
        "TK-47",
        "a proof without its key",
        lambda p: p.credentials(p.proof({"jwk": None})),
        "400 invalid_dpop_proof",
    ),
    Case(
        "TK-47",
        "a proof that shows its private key",
        lambda p: p.credentials(p.proof({"jwk": p.signer.key.as_dict(private=True)})),
        "400 invalid_dpop_proof",
    ),
    Case(
        "TK-47",
        "a proof by another key than it shows",
        lambda p: p.credentials(p.proof({"jwk": p.signer.key.as_dict(private=False)})),
        "400 invalid_dpop_proof",
    ),
    Case(
        "TK-47",
        "a proof without jti",
        lambda p: p.credentials(p.proof(jti=None)),
        "400 invalid_dpop_proof",
    ),
    Case(
        "TK-47",
        "a proof without iat",
        lambda p: p.credentials(p.proof(iat=None)),
        "400 invalid_dpop_proof",
    ),
    Case(
        "TK-47",
        "a proof of yesterday",
        lambda p: p.credentials(p.proof(now=p.now() - 86400)),
        "400 invalid_dpop_proof",
    ),
    Case(
        "TK-47",
        "a proof of tomorrow",
        lambda p: p.credentials(p.proof(now=p.now() + 86400)),
        "400 invalid_dpop_proof",
    ),
    Case(
        "TK-47",
        "two proofs",
        lambda p: p.credentials(f"{p.proof()}, {p.proof()}"),
        "400 invalid_dpop_proof",
    ),
]
