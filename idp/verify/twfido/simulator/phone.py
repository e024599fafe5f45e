"""The phone in somebody's hand, as a page; and the front page that explains the people."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from idp.verify.twfido.simulator import reading
from idp.verify.twfido.simulator.grammar import UUID, typed_pid, valid_pid
from idp.verify.twfido.simulator.pages import Pages
from idp.verify.twfido.simulator.personas import ANYBODY, PERSONAS, Outcome
from idp.verify.twfido.simulator.reading import MESSAGES, Refused
from idp.verify.twfido.simulator.world import BY_PHONE, SYSACTION, Transaction, World

# In two languages, as all that the simulator says.
_DONE = {
    "approve": ("已同意。", "Approved."),
    "deny": ("已拒絕。", "Rejected."),
    "late": ("這個請求已經結束。", "This request is over."),
}
_BAD_PID = ("身分證字號格式不正確。", "That is no valid ID number.")
_BAD_QR = ("這個 QR Code 不正確，或請求已經結束。", "A wrong QR code, or its request is over.")
_NOT_YOURS = ("這個請求是給另一位使用者的。", "This request is for somebody else.")


class Phone:
    def __init__(self, world: World, pages: Pages, public_url: str) -> None:
        self._world = world
        self._pages = pages
        self._public_url = public_url

    def routes(self) -> list[Route]:
        return [
            Route("/", self._front),
            Route("/phone", self._phone),
            Route("/phone/{qrid}", self._decide, methods=["POST"]),
        ]

    async def _front(self, _: Request) -> Response:
        return self._pages.show(
            "front.html",
            personas=PERSONAS.values(),
            anybody=ANYBODY,
            systems=self._world.systems.values(),
            public_url=self._public_url,
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
            requests=requests,
            sysaction=SYSACTION,
        )

    def _shown(self, pid: str, qr: str) -> tuple[tuple[str, str] | None, list[Transaction]]:
        """What is wrong, and the requests to show: the scanned one or all of this person."""
        if pid and not valid_pid(pid):
            return _BAD_PID, []
        if not qr:
            return None, self._world.pending(pid) if pid else []
        # The content of a QR code is the bridge's template; only the qrid in it counts.
        qrid = UUID.search(qr)
        found = self._world.find(qrid[0]) if qrid else None
        if found is None or found.interface not in BY_PHONE or found.outcome != Outcome.PENDING:
            return _BAD_QR, []
        # An attacker shows a code that was opened for himself: this phone is not his.
        if pid and found.pid != pid:
            return _NOT_YOURS, []
        return None, [found]

    async def _decide(self, request: Request) -> Response:
        qrid = request.path_params["qrid"]
        try:
            fields = await reading.read_fields(request)
        except Refused as refused:
            return self._pages.problem(refused.rcode, MESSAGES[refused.rcode])
        transaction = self._world.find(qrid)
        pid, decision = fields.get("pid", ""), fields.get("decision", "")
        if transaction is None or not pid or transaction.pid != pid:
            return self._pages.problem("2002", "查無此交易", 404)
        outcome = {"approve": Outcome.APPROVED, "deny": Outcome.DENIED}.get(decision)
        if outcome is None:
            return self._pages.problem("9003", MESSAGES["9003"])
        try:
            self._world.decide(qrid, outcome)
        except ValueError:
            decision = "late"
        return RedirectResponse(f"/phone?{urlencode({'pid': pid, 'done': decision})}", 303)
