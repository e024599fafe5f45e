"""What the suite's own browser (HtmlUnit) does on the bridge's pages, found by their stable ids.

The person is A100000010 of the simulator, who approves at once; the login goes by QR code.
"""

from __future__ import annotations

from typing import Any

PERSON = "A100000010"
SHOT = "update-image-placeholder"  # the suite keeps a picture for its human reviewer
Task = dict[str, Any]


def for_plan(op: str) -> list[Task]:
    """The steps of an ordinary login, and of a logout."""
    done = _task("Done", "*/test/*/post*", ["wait", "contains", "post", 5])
    confirm = _task("Confirm", f"{op}/logout*", ["click", "id", "logout", "optional"])
    return [_at(f"{op}/authorize*", *_login(op)), _at(f"{op}/logout*", confirm, done)]


def overrides(op: str) -> dict[str, dict[str, list[Task]]]:
    """The modules that end on one of our pages, or want a picture of it; by module."""
    steps = dict.fromkeys(_PICTURED_LOGINS, _pictured_login(op))
    steps |= {module: [_error(op)] for module in _ERRORS}
    steps |= {"oidcc-rp-initiated-logout-" + end: _pictured_logout(op) for end in _LOGOUT_PAGES}
    steps |= {module: [_at(f"{op}/authorize*", *_refusal(op))] for module in _REFUSALS}
    return {module: {"browser": tasks} for module, tasks in steps.items()}


_PICTURED_LOGINS = ("oidcc-prompt-login", "oidcc-max-age-1")
_ERRORS = (
    "oidcc-ensure-registered-redirect-uri",
    "oidcc-ensure-redirect-uri-in-authorization-request",
    "oidcc-redirect-uri-query-added",
    "oidcc-redirect-uri-query-mismatch",
    "oidcc-ensure-request-object-with-redirect-uri",
    "fapi2-security-profile-final-par-attempt-reuse-request_uri",
    "fapi2-security-profile-final-par-attempt-to-use-expired-request_uri",
    "fapi2-security-profile-final-par-attempt-to-use-request_uri-for-different-client",
    "fapi2-security-profile-final-par-ensure-request-uri-is-bound-to-client",
    "fapi2-security-profile-final-ensure-unsigned-authorization-request-without-using-par-fails",
)
_LOGOUT_PAGES = (
    "bad-post-logout-redirect-uri",
    "query-added-to-post-logout-redirect-uri",
    "modified-id-token-hint",
    "bad-id-token-hint",
    "no-id-token-hint",
    "no-params",
    "no-post-logout-redirect-uri",
    "only-state",
)
_REFUSALS = ("fapi2-security-profile-final-user-rejects-authentication",)


def _task(name: str, where: str, *commands: list[Any]) -> Task:
    return {"task": name, "optional": True, "match": where, "commands": list(commands)}


def _at(where: str, *tasks: Task) -> Task:
    return {"match": where, "tasks": list(tasks)}


def _login(op: str) -> list[Task]:
    number: list[list[Any]] = [["text", "id", "pid", PERSON], ["click", "id", "continue"]]
    return [
        _task("Method and number", f"{op}/login/*", *number),
        _task("Confirmed on the phone", f"{op}/login/*", ["click", "id", "check", "optional"]),
        _task("Consent", f"{op}/authorize/*", ["click", "id", "allow"]),
        _back(),
    ]


def _back() -> Task:
    ended: list[Any] = ["wait", "id", "submission_complete", 10]
    return {"task": "Back", "match": "*/test/*/callback*", "commands": [ended]}


def _refusal(op: str) -> list[Task]:
    """The person denies the consent."""
    number, phone, _, back = _login(op)
    return [
        number, phone, _task("Consent", f"{op}/authorize/*", ["click", "id", "deny"]), back
    ]  # fmt: skip


def _pictured_login(op: str) -> list[Task]:
    picture: list[Any] = ["wait", "id", "pid", 10, ".*", f"{SHOT}-optional"]
    number, *rest = _login(op)
    number["commands"].insert(0, picture)
    return [_at(f"{op}/authorize*", number, *rest)]


def _error(op: str) -> Task:
    picture: list[Any] = ["wait", "id", "error-code", 10, ".*", SHOT]
    page = {"task": "Error page", "match": f"{op}/authorize*", "commands": [picture]}
    return _at(f"{op}/authorize*", page)


def _pictured_logout(op: str) -> list[Task]:
    picture: list[Any] = ["wait", "xpath", "//h1", 10, ".*", SHOT]
    page = {"task": "The page shown", "match": f"{op}/logout*", "commands": [picture]}
    return [_at(f"{op}/authorize*", *_login(op)), _at(f"{op}/logout*", page)]
