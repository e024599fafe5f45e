"""MAY THIS CALL PASS? An ASGI middleware that an agency puts before its own API.

    from idp.guard import Guard, Rule
    app = Guard(app, issuer="https://id.example.gov.tw", audience="https://api.example.gov.tw",
                rules=[Rule("/v1/", scope="transport:read"), Rule("/open/", public=True)])

Tokens are verified offline against the issuer's JWKS (RFC 9068 §4); the answers are those that
TDX documents. `gate` is the same for an API that is no ASGI application: it answers nginx's
auth_request. Agencies install it alone, from packages/guard. That package contains this folder,
dpop.py, mtls.py and rates.py under a name of its own, so imports among them are relative.

Open or closed: the issuer being away stops nobody who has a token, since the last good key set is
kept; without any key set nobody passes (503). The rate store being away stops everybody (503),
unless the agency chose `Limits(fail_open=True)`: then calls pass uncounted and the metric says so.
A WebSocket is asked once, when it opens; what an application does at its lifespan is its own.
"""

from .answers import INVALID, LACKING, NO_HEADER, USED_UP
from .gate import gate
from .limits import Limits
from .middleware import Guard, Rule

__all__ = [
    "INVALID",
    "LACKING",
    "NO_HEADER",
    "USED_UP",
    "Guard",
    "Limits",
    "Rule",
    "gate",
]
