"""What the guard says instead of the API, in TDX's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import prometheus_client

from .. import dpop

ANSWERS = prometheus_client.Counter(
    "idp_guard_answers", "Calls that the guard let pass or stopped", ["answer"]
)
UNCOUNTED = prometheus_client.Counter(
    "idp_guard_uncounted", "Counts that were skipped because the store was away (fail_open)"
)

_CHALLENGES = {
    "bearer": 'Bearer realm="api"',
    "dpop": f'DPoP realm="api", algs="{" ".join(dpop.ALGORITHMS)}"',
}
NO_HEADER = "no Authorization header found"
INVALID = "invalid token"
LACKING = "Access token does not have the required scope/role: Missing required realm role"
USED_UP = "API rate limit exceeded"
STRONGER = "a stronger or more recent login is required"


class Stopped(Exception):
    """An answer instead of the API's."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


def unauthorized(
    message: str, error: str = "", scope: str = "", status: int = 401, scheme: str = "bearer"
) -> Stopped:
    """RFC 6750 §3, RFC 9449 §7.1: in the scheme that was tried; both are offered to whoever tried
    none."""
    parts = [_CHALLENGES[scheme]]
    parts += [f'error="{error}"'] if error else [_CHALLENGES["dpop"]]
    parts += [f'scope="{scope}"'] if scope else []
    return Stopped(status, message, {"WWW-Authenticate": ", ".join(parts)})


def step_up(scheme: str, acr: Sequence[str], max_age: int | None) -> Stopped:
    """RFC 9470 §3: what the next login has to be; the program takes both to /authorize."""
    parts = [_CHALLENGES[scheme], 'error="insufficient_user_authentication"']
    parts += [f'error_description="{STRONGER}"']
    parts += [f'acr_values="{" ".join(acr)}"'] if acr else []
    parts += [f'max_age="{max_age}"'] if max_age is not None else []
    return Stopped(401, STRONGER, {"WWW-Authenticate": ", ".join(parts)})
