"""What is refused of pushed authorization requests (RFC 9126)."""

from __future__ import annotations

from tests.house import CALLBACK
from tests.protocol.provider import Known, Provider
from tests.protocol.refusals import JSON, Case


async def _of_another(provider: Provider) -> str:
    known = await provider.pushed()
    return await provider.authorize(client_id=provider.other.id, request_uri=known)


async def _used(provider: Provider) -> str:
    named = {"client_id": provider.web.id, "request_uri": await provider.pushed()}
    assert await provider.code(named)
    return await provider.authorize(**named)


async def _by_post(provider: Provider) -> str:
    known = provider.web
    changes = {"client_id": known.id, "client_secret": "wrong"}
    body = "&".join(f"{name}={value}" for name, value in changes.items())
    return await provider.post("par", body.encode())


PAR: list[Case] = [
    Case(
        "PR-01",
        "a pushed request of an unknown client",
        lambda p: p.push(by=Known("no", "no"), client_id="no"),
        "401 invalid_client",
    ),
    Case(
        "PR-01",
        "a pushed request with a wrong secret",
        lambda p: p.push(by=Known(p.web.id, "no")),
        "401 invalid_client",
    ),
    Case("PR-01", "a pushed request without authentication", _by_post, "401 invalid_client"),
    Case(
        "PR-02",
        "a pushed request that holds request_uri",
        lambda p: p.push(("request_uri", "urn:x")),
        "400 invalid_request",
        "400 request_uri_not_supported",
        "RFC 9126 §2.1 names invalid_request",
    ),
    Case(
        "PR-02",
        "a pushed request in JSON",
        lambda p: p.post("par", b"{}", **JSON),
        "400 invalid_request",
    ),
    Case(
        "PR-02",
        "a pushed request for another client",
        lambda p: p.push(client_id=p.other.id),
        "401 invalid_client",
        "400 invalid_request",
        "the credentials are not that client's (RFC 6749 §5.2)",
    ),
    Case(
        "PR-02",
        "a pushed request with a foreign redirect_uri",
        lambda p: p.push(redirect_uri="https://evil.test/"),
        "400 invalid_request",
    ),
    Case(
        "PR-02",
        "a pushed request without redirect_uri",
        lambda p: p.push(redirect_uri=None),
        "400 invalid_request",
        "201",
        "OpenID Connect Core §3.1.2.1 requires it, also where one alone is registered",
    ),
    Case(
        "PR-02",
        "a pushed request without response_type",
        lambda p: p.push(response_type=None),
        "400 invalid_request",
    ),
    Case(
        "PR-02",
        "a pushed request for a token",
        lambda p: p.push(response_type="token"),
        "400 unsupported_response_type",
    ),
    Case(
        "PR-02",
        "a pushed request with two states",
        lambda p: p.push(("state", "b")),
        "400 invalid_request",
    ),
    Case(
        "PR-02",
        "a pushed request with code_challenge_method=plain",
        lambda p: p.push(code_challenge_method="plain"),
        "400 invalid_request",
    ),
    Case(
        "PR-02",
        "a pushed request with a scope that the client may not have",
        lambda p: p.push(scope="openid api:write"),
        "400 invalid_scope",
    ),
    Case(
        "PR-02",
        "a pushed request with an unknown prompt",
        lambda p: p.push(prompt="dance"),
        "400 invalid_request",
    ),
    Case(
        "PR-02",
        "a pushed request with a redirect_uri in another case",
        lambda p: p.push(redirect_uri=CALLBACK.upper()),
        "400 invalid_request",
    ),
    Case(
        "PR-07",
        "the request_uri of another client",
        _of_another,
        "page 400",
        "sent back: invalid_request_object",
        "this client pushed nothing: there is no address to send an answer to",
    ),
    Case(
        "PR-08",
        "an unknown request_uri",
        lambda p: p.authorize(request_uri="urn:ietf:params:oauth:request_uri:x"),
        "page 400",
        "sent back: invalid_request_uri",
        "only what was pushed counts: no address to send an answer to",
    ),
    Case(
        "PR-08",
        "a used request_uri",
        _used,
        "page 400",
        "sent back: invalid_request_uri",
        "only what was pushed counts: no address to send an answer to",
    ),
    Case(
        "PR-08",
        "a request_uri that is an address",
        lambda p: p.authorize(request_uri="https://evil.test/request"),
        "sent back: request_uri_not_supported",
    ),
]
