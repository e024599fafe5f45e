"""WEB-01: the page that a browser visits, and the way back; and the link that opens the app."""

from __future__ import annotations

import base64
import math
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from idp.verify.simulated.numbers import typed_pid, valid_pid
from idp.verify.simulated.pages import Pages
from idp.verify.simulated.people import OTHER_PERSON, Outcome
from idp.verify.simulated.weather import spoil
from idp.verify.spapi.simulator import reading, ticket
from idp.verify.spapi.simulator.authority import Authority
from idp.verify.spapi.simulator.faults import Conditions, seal
from idp.verify.spapi.simulator.interfaces import persona, written
from idp.verify.spapi.simulator.personas import PERSONAS
from idp.verify.spapi.simulator.reading import MESSAGES, WEB, Refused
from idp.verify.spapi.simulator.world import Transaction, World

LINK = "/a2a/verifySign"


class Browser:
    def __init__(
        self, world: World, conditions: Conditions, pages: Pages, authority: Authority
    ) -> None:
        self._world = world
        self._conditions = conditions
        self._pages = pages
        self._authority = authority

    def routes(self) -> list[Route]:
        return [
            Route(WEB.path, self._arrive, methods=["POST"]),
            Route("/browser/{handle}", self._decide, methods=["POST"]),
            Route(LINK, self._linked, methods=["GET"]),
            Route(LINK, self._decide_linked, methods=["POST"]),
        ]

    async def _arrive(self, request: Request) -> Response:
        """A faulty request goes nowhere: its sender is unknown, so nobody is redirected."""
        try:
            fields = await reading.read_fields(request)
            call = reading.read_call(self._world, WEB, fields)
        except Refused as refused:
            reading.note(self._world, WEB, refused)
            return self._pages.problem(refused.code, MESSAGES[refused.code])
        fault = self._conditions.strike(WEB.name)
        opened = self._world.open(WEB.name, call.service, call.fields)
        await self._conditions.pause(fault.hang)
        page = self._page(opened)
        if fault.status or fault.garbage or fault.cut or fault.huge:
            return spoil(bytes(page.body), "text/html; charset=utf-8", fault)
        return page

    def _page(self, transaction: Transaction) -> Response:
        left = transaction.opened + transaction.lifetime - 1 - self._world.now()
        seconds = max(0, min(transaction.lifetime - 1, math.ceil(left)))
        return self._pages.show(
            "web.html",
            handle=transaction.handle,
            sysname=transaction.name,
            personas=PERSONAS.values(),
            seconds=seconds,
            countdown=f"{seconds // 60:02d}:{seconds % 60:02d}",
        )

    async def _decide(self, request: Request) -> Response:
        """A second click brings the first decision back again."""
        transaction = self._world.find(request.path_params["handle"])
        if transaction is None or transaction.interface != WEB.name:
            return self._pages.problem("SPTKTID_SPTKT_NF", "查無此交易", 404)
        try:
            fields = await reading.read_fields(request)
        except Refused as refused:
            return self._pages.problem(refused.code, MESSAGES[refused.code])
        pending = transaction.outcome is Outcome.PENDING
        if pending and not self._apply(transaction, fields):
            return self._pages.problem("PM_IDN_FT_ERR", "身分證字號或選擇不正確")
        await self._conditions.pause(transaction.persona.delay)
        return self._go_back(transaction)

    def _apply(self, transaction: Transaction, fields: dict[str, str]) -> bool:
        pid = typed_pid(fields.get("other") or fields.get("pid", ""))
        action = fields.get("action", "")
        if action in ("deny", "cancel"):
            self._world.decide(transaction.handle, Outcome.DENIED, pid if valid_pid(pid) else "")
            return True
        if action != "approve" or not valid_pid(pid):
            return False
        self._world.decide(transaction.handle, persona(pid).at_click, pid)
        return True

    def _go_back(self, transaction: Transaction) -> Response:
        """The number is named with a success only, and signed as it is sent."""
        fault = self._conditions.strike(WEB.name)
        code = self._world.result(transaction)
        done = code == "0"
        named = OTHER_PERSON if fault.other_person else transaction.person
        signed = done and bool(transaction.sign_data)
        sent = {
            "transaction_id": transaction.handle,
            "error_code": fault.code or written(WEB.name, code),
            "id_num": named if done else "",
            "signed_response": self._authority.sign(transaction.sign_data) if signed else "",
            "cert": self._authority.certificate(named) if signed else "",
        }
        fields = seal(sent, WEB.answer_signed, transaction.service.aes_key, fault)
        return self._pages.show(
            "return.html",
            url=transaction.service.return_url,
            fields=fields,
            rcode=code,
            msg=MESSAGES.get(code, ""),
        )

    # ── the link that opens the app on the same phone ────────────────────────────────────────────

    async def _linked(self, request: Request) -> Response:
        """What the app shows for a link: the request of its ticket."""
        query = request.query_params
        found = self._of_link(query.get("sp_ticket", ""))
        if found is None or found.outcome is not Outcome.PENDING:
            return self._pages.problem("SPTKTID_SPTKT_NF", "查無此交易", 404)
        return self._pages.show(
            "link.html",
            request=found,
            fields={name: query.get(name, "") for name in ("sp_ticket", "rtn_url", "rtn_val")},
        )

    async def _decide_linked(self, request: Request) -> Response:
        try:
            fields = await reading.read_fields(request)
        except Refused as refused:
            return self._pages.problem(refused.code, MESSAGES[refused.code])
        found = self._of_link(fields.get("sp_ticket", ""))
        outcome = {"approve": Outcome.APPROVED, "deny": Outcome.DENIED}.get(
            fields.get("decision", "")
        )
        if found is None or outcome is None:
            return self._pages.problem("SPTKTID_SPTKT_NF", "查無此交易", 404)
        if found.outcome is Outcome.PENDING:
            self._world.decide(found.handle, outcome)
        back = _decoded(fields.get("rtn_url", ""))
        if back != found.service.return_url:  # else the app would lead people anywhere
            return RedirectResponse(f"/phone?{urlencode({'pid': found.pid})}", 303)
        joint = "&" if "?" in back else "?"
        return RedirectResponse(f"{back}{joint}{urlencode({'rtn_val': fields['rtn_val']})}", 303)

    def _of_link(self, sp_ticket: str) -> Transaction | None:
        handle = ticket.transaction_of(sp_ticket) if sp_ticket.isascii() else None
        return self._world.find(handle) if handle else None


def _decoded(value: str) -> str:
    """rtn_url in base64 of either alphabet, or as it is."""
    try:
        bare = value.translate(str.maketrans("-_", "+/")).rstrip("=")
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode()
    except ValueError:
        return value
