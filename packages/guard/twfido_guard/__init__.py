"""MAY THIS CALL PASS? An ASGI middleware that an agency puts before its own API.

    from twfido_guard import Guard, Rule
    app = Guard(app, issuer="https://id.example.gov.tw", audience="https://api.example.gov.tw",
                rules=[Rule("/v1/", scope="transport:read"), Rule("/open/", public=True)])

`guard` beside this file explains it; `gate` is the same for an API that is no ASGI application.
"""

from .guard import INVALID, LACKING, NO_HEADER, USED_UP, Guard, Limits, Rule, gate

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
