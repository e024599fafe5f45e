"""What /authorize refuses."""

from __future__ import annotations

import json

from tests.house import CALLBACK
from tests.protocol.provider import CHALLENGE, Provider
from tests.protocol.refusals import JSON, Case


async def _twice(provider: Provider, name: str) -> str:
    return await provider.authorize((name, provider.request()[name]))


AUTHORIZE: list[Case] = [
    Case("AZ-01", "no client_id", lambda p: p.authorize(client_id=None), "page 400"),
    Case("AZ-02", "an unknown client_id", lambda p: p.authorize(client_id="nobody"), "page 400"),
    Case(
        "AZ-04",
        "redirect_uri in another case",
        lambda p: p.authorize(redirect_uri=CALLBACK.replace("callback", "Callback")),
        "page 400",
    ),
    Case(
        "AZ-04",
        "redirect_uri with the default port",
        lambda p: p.authorize(redirect_uri=CALLBACK.replace(".test/", ".test:443/")),
        "page 400",
    ),
    Case(
        "AZ-05",
        "redirect_uri with a slash more",
        lambda p: p.authorize(redirect_uri=CALLBACK + "/"),
        "page 400",
    ),
    Case(
        "AZ-05",
        "redirect_uri with a query more",
        lambda p: p.authorize(redirect_uri=CALLBACK + "?a=b"),
        "page 400",
    ),
    Case(
        "AZ-05",
        "redirect_uri with a fragment",
        lambda p: p.authorize(redirect_uri=CALLBACK + "#a"),
        "page 400",
    ),
    Case(
        "AZ-07",
        "redirect_uri with dot segments",
        lambda p: p.authorize(redirect_uri=CALLBACK + "/../x"),
        "page 400",
    ),
    Case(
        "AZ-08",
        "redirect_uri with the scheme javascript",
        lambda p: p.authorize(redirect_uri="javascript:alert(1)"),
        "page 400",
    ),
    Case(
        "AZ-11",
        "no redirect_uri",
        lambda p: p.authorize(redirect_uri=None),
        "page 400",
        "login",
        "OpenID Connect Core §3.1.2.1 requires it, also where one alone is registered",
    ),
    Case(
        "AZ-13",
        "a line feed in state",
        lambda p: p.authorize(state="a\nb"),
        "page 400",
        "login",
        "control characters end up in logs and headers; no library sends them",
    ),
    Case(
        "AZ-13",
        "NUL in nonce",
        lambda p: p.authorize(nonce="a\0b"),
        "page 400",
        "login",
        "control characters end up in logs and headers; no library sends them",
    ),
    Case("AZ-14", "client_id twice", lambda p: _twice(p, "client_id"), "page 400"),
    Case(
        "AZ-14",
        "redirect_uri twice",
        lambda p: _twice(p, "redirect_uri"),
        "page 400",
        "sent back: invalid_request",
        "an ambiguous address gets no answer",
    ),
    Case("AZ-16", "nonce twice", lambda p: _twice(p, "nonce"), "sent back: invalid_request"),
    Case("AZ-16", "scope twice", lambda p: _twice(p, "scope"), "sent back: invalid_request"),
    Case("AZ-16", "state twice", lambda p: _twice(p, "state"), "sent back: invalid_request"),
    Case(
        "AZ-17",
        "no response_type",
        lambda p: p.authorize(response_type=None),
        "sent back: invalid_request",
    ),
    Case(
        "AZ-17",
        "response_type=token",
        lambda p: p.authorize(response_type="token"),
        "sent back: unsupported_response_type",
    ),
    Case(
        "AZ-19",
        "response_type=token and a foreign redirect_uri",
        lambda p: p.authorize(response_type="token", redirect_uri="https://evil.test/"),
        "page 400",
    ),
    Case(
        "AZ-20",
        "an unknown response_mode",
        lambda p: p.authorize(response_mode="carrier_pigeon"),
        "sent back: invalid_request",
        "sent back: unsupported_response_mode",
        "the error that RFC 6749 §4.1.2.1 has for an invalid parameter",
    ),
    Case(
        "AZ-22",
        "a scope that the client may not have",
        lambda p: p.authorize(scope="openid api:write"),
        "sent back: invalid_scope",
    ),
    Case("AZ-22", "an unknown scope", lambda p: p.authorize(scope="openid no_such_scope"), "login"),
    Case(
        "AZ-23",
        "no code_challenge of a public client",
        lambda p: p.authorize(client_id=p.app.id, code_challenge=None, code_challenge_method=None),
        "sent back: invalid_request",
    ),
    Case(
        "AZ-23",
        "neither code_challenge nor nonce",
        lambda p: p.authorize(code_challenge=None, code_challenge_method=None, nonce=None),
        "sent back: invalid_request",
        "login",
        "RFC 9700 §2.1.1 asks for one of the two",
    ),
    Case(
        "AZ-25",
        "code_challenge without its method",
        lambda p: p.authorize(code_challenge_method=None),
        "sent back: invalid_request",
    ),
    Case(
        "AZ-25",
        "code_challenge_method=plain",
        lambda p: p.authorize(code_challenge_method="plain"),
        "sent back: invalid_request",
    ),
    Case(
        "AZ-25",
        "code_challenge_method alone",
        lambda p: p.authorize(code_challenge=None),
        "sent back: invalid_request",
    ),
    Case(
        "AZ-26",
        "code_challenge of 42 characters",
        lambda p: p.authorize(code_challenge=CHALLENGE[:42]),
        "sent back: invalid_request",
    ),
    Case(
        "AZ-26",
        "code_challenge of 44 characters",
        lambda p: p.authorize(code_challenge=CHALLENGE + "a"),
        "sent back: invalid_request",
        "login",
        "an S256 challenge has 43 (RFC 7636 §4.2): no code would ever be redeemed",
    ),
    Case(
        "AZ-26",
        "code_challenge with a line feed",
        lambda p: p.authorize(code_challenge=CHALLENGE + "\n"),
        "page 400",
        "sent back: invalid_request",
        "control characters end up in logs and headers; no library sends them",
    ),
    Case(
        "AZ-29",
        "prompt=none login",
        lambda p: p.authorize(prompt="none login"),
        "sent back: invalid_request",
    ),
    Case(
        "AZ-29",
        "an unknown prompt",
        lambda p: p.authorize(prompt="dance"),
        "sent back: invalid_request",
    ),
    Case(
        "AZ-31",
        "prompt=none and nobody is logged in",
        lambda p: p.authorize(prompt="none"),
        "sent back: login_required",
    ),
    Case("AZ-31", "max_age=-1", lambda p: p.authorize(max_age="-1"), "sent back: invalid_request"),
    Case(
        "AZ-31", "max_age=soon", lambda p: p.authorize(max_age="soon"), "sent back: invalid_request"
    ),
    Case(
        "AZ-32",
        "a request object without signature",
        lambda p: p.authorize(request="eyJhbGciOiJub25lIn0.e30."),
        "sent back: request_not_supported",
    ),
    Case(
        "AZ-34",
        "claims that are no JSON",
        lambda p: p.authorize(claims="{"),
        "sent back: invalid_request",
    ),
    Case(
        "AZ-34",
        "claims that are a list",
        lambda p: p.authorize(claims="[]"),
        "sent back: invalid_request",
    ),
    Case(
        "AZ-35",
        "an id_token_hint that is none",
        lambda p: p.authorize(prompt="none", id_token_hint="a.b.c"),
        "sent back: login_required",
        "sent back: invalid_request",
        "OpenID Connect Core §3.1.2.1 names login_required",
    ),
    Case(
        "AZ-37",
        "an essential acr that nobody offers",
        lambda p: p.authorize(claims='{"id_token":{"acr":{"essential":true,"value":"moon"}}}'),
        "sent back: unmet_authentication_requirements",
        "login",
        "OpenID Connect Core §5.5.1.1: the request must fail",
    ),
    Case(
        "AZ-38",
        "state of 2,049 characters",
        lambda p: p.authorize(state="a" * 2049),
        "page 400",
        "login",
        "what is echoed has a limit",
    ),
    Case(
        "AZ-40",
        "a request in JSON",
        lambda p: p.post("authorize", json.dumps(p.request()).encode(), **JSON),
        "page 400",
        "404",
        "the bridge takes POST here (OpenID Connect Core §3.1.2.1) and refuses the type",
    ),
]
