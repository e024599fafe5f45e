"""The phone in somebody's hand, as a page; and the front page that explains the people."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from idp.verify.simulated.bodies import Unreadable, read_fields
from idp.verify.simulated.numbers import typed_pid, valid_pid
from idp.verify.simulated.pages import Pages
from idp.verify.simulated.people import ANYBODY, Outcome, Persona
from idp.verify.simulated.world import Transaction, World

# In two languages, as all that the simulator says.
_DONE = {
    "approve": ("已同意。", "Approved."),
    "deny": ("已拒絕。", "Rejected."),
    "late": ("這個請求已經結束。", "This request is over."),
}
_BAD_PID = ("身分證字號格式不正確。", "That is no valid ID number.")
_BAD_QR = ("這個 QR Code 不正確，或請求已經結束。", "A wrong QR code, or its request is over.")
_NOT_YOURS = ("這個請求是給另一位使用者的。", "This request is for somebody else.")


@dataclass(frozen=True, slots=True)
class Face:
    """What the app of one service shows and reads. `action`: the words above the name; `scanned`:
    the handle in a QR code, or None; `kind`: how a request arrived; `malformed` and `unknown`: a
    code and its words; `systems`: name and id of everybody who is connected."""

    action: Callable[[Transaction], str]
    scanned: Callable[[str], str | None]
    kind: Callable[[Transaction], tuple[str, str]]
    people: Callable[[], Collection[Persona]]
    systems: Callable[[], Collection[tuple[str, str]]]
    malformed: tuple[str, str]
    unknown: tuple[str, str]


class Phone:
    """`ledger`: the front page leads to it."""

    def __init__(
        self, world: World[Any], pages: Pages, public_url: str, face: Face, *, ledger: bool
    ) -> None:
        self._world, self._ledger = world, ledger
        self._pages = pages
        self._public_url = public_url
        self._face = face

    def routes(self) -> list[Route]:
        return [
            Route("/", self._front),
            Route("/phone", self._phone),
            Route("/phone/{handle}", self._decide, methods=["POST"]),
        ]

    async def _front(self, _: Request) -> Response:
        return self._pages.show(
            "front.html",
            personas=self._face.people(),
            anybody=ANYBODY,
            systems=self._face.systems(),
            public_url=self._public_url,
            ledger=self._ledger,
        )

    async def _phone(self, request: Request) -> Response:
        pid = typed_pid(request.query_params.get("pid", ""))
        qr = request.query_params.get("qr", "")
        problem, requests = self._shown(pid, qr)
        return self._pages.show(
            "phone.html",
            400 if problem else 200,
            pid=pid,
            qr=qr,
            problem=problem,
            done=_DONE.get(request.query_params.get("done", "")),
            requests=[(t, self._face.action(t), self._face.kind(t)) for t in requests],
        )

    def _shown(self, pid: str, qr: str) -> tuple[tuple[str, str] | None, list[Transaction]]:
        """What is wrong, and the requests to show: the scanned one or all of this person."""
        if pid and not valid_pid(pid):
            return _BAD_PID, []
        if not qr:
            return None, self._world.pending(pid) if pid else []
        handle = self._face.scanned(qr)
        found = self._world.find(handle) if handle else None
        if found is None or not found.by_phone or found.outcome != Outcome.PENDING:
            return _BAD_QR, []
        # An attacker shows a code that was opened for himself: this phone is not his.
        if pid and found.pid != pid:
            return _NOT_YOURS, []
        return None, [found]

    async def _decide(self, request: Request) -> Response:
        handle = request.path_params["handle"]
        try:
            fields = await read_fields(request)
        except Unreadable:
            return self._pages.problem(*self._face.malformed)
        transaction = self._world.find(handle)
        pid, decision = fields.get("pid", ""), fields.get("decision", "")
        if transaction is None or not pid or transaction.pid != pid:
            return self._pages.problem(*self._face.unknown, 404)
        outcome = {"approve": Outcome.APPROVED, "deny": Outcome.DENIED}.get(decision)
        if outcome is None:
            return self._pages.problem(*self._face.malformed)
        try:
            self._world.decide(handle, outcome)
        except ValueError:
            decision = "late"
        return RedirectResponse(f"/phone?{urlencode({'pid': pid, 'done': decision})}", 303)
