"""FWEB-01 and CTAP-01: the pages that a browser visits, and the way back."""

from __future__ import annotations

import math
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from idp.verify.simulated.numbers import masked, typed_pid, valid_pid
from idp.verify.simulated.pages import Pages
from idp.verify.simulated.weather import spoil
from idp.verify.twfido.simulator import reading
from idp.verify.twfido.simulator.faults import Conditions, seal
from idp.verify.twfido.simulator.personas import PERSONAS, Outcome, persona
from idp.verify.twfido.simulator.reading import DONGLE, MESSAGES, WEB, Interface, Refused
from idp.verify.twfido.simulator.world import LIFETIME, Transaction, World

_RCODES = {Outcome.APPROVED: "0000", Outcome.EXPIRED: "5003"}
FAILED = "5002"


class Browser:
    """`return_method`: "post" goes back with a form, "get" with a 303 and a query."""

    def __init__(
        self, world: World, conditions: Conditions, pages: Pages, return_method: str
    ) -> None:
        self._world = world
        self._conditions = conditions
        self._pages = pages
        self._return_method = return_method

    def routes(self) -> list[Route]:
        return [
            Route(WEB.path, self._web, methods=["GET", "POST"]),
            Route(DONGLE.path, self._dongle, methods=["GET", "POST"]),
            Route("/browser/{qrid}", self._decide, methods=["POST"]),
        ]

    async def _web(self, request: Request) -> Response:
        return await self._arrive(request, WEB)

    async def _dongle(self, request: Request) -> Response:
        return await self._arrive(request, DONGLE)

    async def _arrive(self, request: Request, interface: Interface) -> Response:
        """A faulty request goes nowhere: its sender is unknown, so nobody is redirected."""
        try:
            fields = await reading.read_fields(request)
            call = reading.read_call(self._world, interface, fields)
        except Refused as refused:
            reading.note(self._world, interface, refused)
            return self._pages.problem(refused.rcode, MESSAGES[refused.rcode])
        fault = self._conditions.strike(interface.name)
        opened = self._world.open(interface.name, call.system, call.tran_seq, call.pid)
        await self._conditions.pause(opened.persona.delay + fault.hang)
        page = self._page(opened)
        if fault.status or fault.garbage or fault.cut or fault.huge:
            return spoil(bytes(page.body), "text/html; charset=utf-8", fault)
        return page

    def _page(self, transaction: Transaction) -> Response:
        left = transaction.opened + LIFETIME - 1 - self._world.now()
        seconds = max(0, min(LIFETIME - 1, math.ceil(left)))
        return self._pages.show(
            "web.html" if transaction.interface == WEB.name else "dongle.html",
            handle=transaction.qrid,
            sysname=transaction.system.name,
            pid=masked(transaction.pid),
            personas=PERSONAS.values(),
            seconds=seconds,
            countdown=f"{seconds // 60:02d}:{seconds % 60:02d}",
        )

    async def _decide(self, request: Request) -> Response:
        """A second click brings the first decision back again."""
        transaction = self._world.find(request.path_params["qrid"])
        if transaction is None or transaction.interface not in (WEB.name, DONGLE.name):
            return self._pages.problem("2002", "查無此交易", 404)
        try:
            fields = await reading.read_fields(request)
        except Refused as refused:
            return self._pages.problem(refused.rcode, MESSAGES[refused.rcode])
        if transaction.outcome is Outcome.PENDING:
            action = fields.get("action", "")
            if action == "regenerate" and transaction.interface == DONGLE.name:
                return self._regenerate(transaction)
            if not self._apply(transaction, action, fields):
                return self._pages.problem("9003", "身分證字號或選擇不正確")
        await self._conditions.pause(transaction.persona.delay)
        return self._go_back(transaction)

    def _apply(self, transaction: Transaction, action: str, fields: dict[str, str]) -> bool:
        pid = transaction.pid or typed_pid(fields.get("other") or fields.get("pid", ""))
        if pid and not valid_pid(pid):
            return False
        if action in ("deny", "cancel"):
            self._world.decide(transaction.qrid, Outcome.DENIED, pid)
            return True
        if action not in ("approve", "use-dongle") or not pid:
            return False
        self._world.decide(transaction.qrid, persona(pid).at_click, pid)
        return True

    def _regenerate(self, old: Transaction) -> Response:
        """A new qrid for the same request; the old one can no longer be approved."""
        self._world.decide(old.qrid, Outcome.EXPIRED)
        return self._page(self._world.open(old.interface, old.system, old.tranSeq, old.pid))

    def _go_back(self, transaction: Transaction) -> Response:
        """The pid is masked for a dongle, and signed as it is sent."""
        rcode = _RCODES.get(transaction.outcome, FAILED)
        pid = transaction.person
        sent = {
            "qrid": transaction.qrid,
            "op": "Auth",
            "pid": masked(pid) if transaction.interface == DONGLE.name else pid,
            "msg": MESSAGES[rcode],
            "rcode": rcode,
        }
        fault = self._conditions.strike(transaction.interface)
        fields = seal(sent, WEB.answer_signed, transaction.system.api_key, fault)
        url = transaction.system.success_url
        if self._return_method == "get":
            joint = "&" if "?" in url else "?"
            return RedirectResponse(f"{url}{joint}{urlencode(fields)}", 303)
        return self._pages.show(
            "return.html", url=url, fields=fields, rcode=rcode, msg=fields["msg"]
        )
