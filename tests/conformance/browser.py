"""What the suite's own browser (HtmlUnit) does on the bridge's pages, found by their stable ids.

The person is A100000010 of the simulator, who approves at once; the login goes by QR code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PERSON = "A100000010"
SHOT = "update-image-placeholder"  # the suite keeps a picture for its human reviewer
Task = dict[str, Any]

_PICTURED_LOGINS = ("oidcc-prompt-login", "oidcc-max-age-1")
_ERRORS = (
    "oidcc-ensure-registered-redirect-uri",
    "oidcc-ensure-redirect-uri-in-authorization-request",
    "oidcc-redirect-uri-query-added",
    "oidcc-redirect-uri-query-mismatch",
    "oidcc-ensure-request-object-with-redirect-uri",
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
_FAPI = "fapi2-security-profile-final-"
_FAPI_ERRORS = (
    "par-attempt-to-use-expired-request_uri",
    "par-attempt-to-use-request_uri-for-different-client",
    "par-ensure-request-uri-is-bound-to-client",
    "ensure-unsigned-authorization-request-without-using-par-fails",
)


@dataclass(frozen=True, slots=True)
class Steps:
    """On the pages of `op`, and at `suite`."""

    op: str
    suite: str

    def for_plan(self) -> list[Task]:
        """The steps of an ordinary login, and of a logout."""
        done = _task("Done", f"{self.suite}/test/*/post*", ["wait", "contains", "post", 5])
        confirm = _task("Confirm", f"{self.op}/logout*", ["click", "id", "logout", "optional"])
        return [self._authorize(*self._login()), self._logout(confirm, done)]

    def overrides(self) -> dict[str, dict[str, list[Task]]]:
        """The modules that go another way, or want a picture of a page; by module."""
        fails = [self._authorize(*self._error())]
        login = [self._authorize(*self._pictured_login())]
        steps = dict.fromkeys(_PICTURED_LOGINS, login)
        steps |= dict.fromkeys(_ERRORS, fails)
        steps |= {_FAPI + module: fails for module in _FAPI_ERRORS}
        steps |= {
            "oidcc-rp-initiated-logout-" + end: self._pictured_logout() for end in _LOGOUT_PAGES
        }
        steps[_FAPI + "user-rejects-authentication"] = [self._authorize(*self._refusal())]
        # the same address is opened twice
        steps[_FAPI + "par-ensure-reused-request-uri-prior-to-auth-completion-succeeds"] = [
            self._authorize(self._look(), limit=1), self._authorize(*self._login())
        ]  # fmt: skip
        steps[_FAPI + "par-attempt-reuse-request_uri"] = [
            self._authorize(*self._login(), limit=1), *fails
        ]  # fmt: skip
        return {module: {"browser": tasks} for module, tasks in steps.items()}

    def _authorize(self, *tasks: Task, limit: int | None = None) -> Task:
        """For the first `limit` visits, or for each."""
        found = {"match": f"{self.op}/authorize*", "tasks": list(tasks)}
        return found if limit is None else {**found, "match-limit": limit}

    def _logout(self, *tasks: Task) -> Task:
        return {"match": f"{self.op}/logout*", "tasks": list(tasks)}

    def _login(self) -> list[Task]:
        number: list[list[Any]] = [["text", "id", "pid", PERSON], ["click", "id", "continue"]]
        phone = ["click", "id", "check", "optional"]
        return [
            _task("Method and number", f"{self.op}/login/*", *number),
            _task("Confirmed on the phone", f"{self.op}/login/*", phone),
            _task("Consent", f"{self.op}/authorize*", ["click", "id", "allow", "optional"]),
            self._back(),
        ]

    def _back(self) -> Task:
        ended: list[Any] = ["wait", "id", "submission_complete", 10]
        at = f"{self.suite}/test/*/callback*"
        return {"task": "Back", "match": at, "commands": [ended]}

    def _look(self) -> Task:
        return _task("The login page", f"{self.op}/login/*", ["wait", "id", "pid", 10])

    def _refusal(self) -> list[Task]:
        """The person cancels the login, or denies the consent."""
        return [
            _task("Cancel", f"{self.op}/login/*", ["click", "id", "cancel"]),
            _task("Deny", f"{self.op}/authorize*", ["click", "id", "deny", "optional"]),
            self._back(),
        ]

    def _pictured_login(self) -> list[Task]:
        picture: list[Any] = ["wait", "id", "pid", 10, ".*", f"{SHOT}-optional"]
        number, *rest = self._login()
        number["commands"].insert(0, picture)
        return [number, *rest]

    def _error(self) -> list[Task]:
        """A page of ours, or an error at the redirect URI."""
        picture: list[Any] = ["wait", "id", "error-code", 10, ".*", SHOT]
        page = _task("Error page", f"{self.op}/authorize*", picture)
        return [page, {**self._back(), "optional": True}]

    def _pictured_logout(self) -> list[Task]:
        picture: list[Any] = ["wait", "xpath", "//h1", 10, ".*", SHOT]
        page = _task("The page shown", f"{self.op}/logout*", picture)
        return [self._authorize(*self._login()), self._logout(page)]


def _task(name: str, where: str, *commands: list[Any]) -> Task:
    return {"task": name, "optional": True, "match": where, "commands": list(commands)}
