"""Where the upstream and the browsers it sends back arrive.

A POST from another site brings no SameSite=Lax cookie, so a return lands without one: its fields
are put aside, and a same-site GET, which has the cookie, takes them up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from idp.kernel import audit, errors, metrics
from idp.kernel.answers import Answers
from idp.kernel.clock import token
from idp.kernel.ground import Ground
from idp.kernel.throttle import PerMinute
from idp.kernel.web import (
    address_of,
    no_store,
    read_form,
    read_query,
    source_of,
    within,
)
from idp.login import store
from idp.login.arrivals import Arrivals
from idp.login.desk import Desk, Visitor
from idp.login.pages import see_other

FOREIGN = audit.event("callback.foreign_peer", "a callback from an address that is not allowed")
UNSIGNED = audit.event("callback.unsigned", "a callback that is malformed or not signed")

LANDING_SECONDS = 60
LANDINGS_PER_MINUTE = 60  # from one address; a person comes back once
MAX_FIELDS_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the upstream reaches us, and how it wants to be answered."""

    return_path: str
    callback_path: str
    callback_peers: tuple[str, ...]
    acknowledgement: Mapping[str, str]


class Returns:
    def __init__(self, ground: Ground, desk: Desk, doors: Doors) -> None:
        self._ground, self._desk, self._doors = ground, desk, doors
        self._arrivals = Arrivals(ground, desk)

    def routes(self, answers: Answers) -> list[Route]:
        back, called = self._doors.return_path, self._doors.callback_path
        return [
            Route(back, answers.page(self.land), methods=["GET", "POST"]),
            Route(back + "/{landing}", answers.page(self.take_up), methods=["GET"]),
            Route(called, answers.program(self.callback), methods=["POST"]),
        ]

    async def land(self, request: Request) -> Response:
        rate = PerMinute(LANDINGS_PER_MINUTE)
        wait = await self._ground.throttle.hit(rate, "landing", source_of(request))
        if wait:
            raise errors.TooManyRequests(retry_after=wait)
        fields = read_query(request) if request.method == "GET" else await read_form(request)
        text = json.dumps(dict(fields.once()))
        if len(text) > MAX_FIELDS_BYTES:
            raise errors.TooLarge
        landing, now = token(16), self._ground.clock.now()
        await self._ground.database.run(
            store.INSERT_LANDING,
            id=landing,
            fields_sealed=self._ground.vault.seal("landing", text),
            expires_at=now + LANDING_SECONDS,
        )
        return see_other(f"{self._doors.return_path}/{landing}")

    async def take_up(self, request: Request) -> Response:
        browser = self._ground.forms.browser(request)
        landing, now = request.path_params["landing"], self._ground.clock.now()
        row = await self._ground.database.write(
            lambda tx: tx.one(store.TAKE_LANDING, id=landing, now=now)
        )
        if row is None:
            raise errors.AlreadyFinished
        fields = json.loads(self._ground.vault.open_text("landing", row["fields_sealed"]))
        who = Visitor(browser or "", address_of(request), request.state.reference)
        login_id = await self._arrivals.brought_back(fields, who)
        await self._desk.ask_login(login_id, who)
        return see_other(f"/login/{login_id}")

    async def callback(self, request: Request) -> Response:
        """Acknowledged whatever verdict it brings: the upstream may be waiting for our answer.
        The source address comes first: no cipher runs for strangers."""
        address = address_of(request)
        who = Visitor("", address, request.state.reference)
        if not within(address, self._doors.callback_peers):
            await self._foreign(who)
            return _answer({"error": "forbidden"}, 403)
        try:
            await self._arrivals.called(await request.body(), who)
        except errors.Disagreement as refusal:
            metrics.ALARMS.labels("callback-unsigned").inc()
            await self._ground.trail.note(who.entry(UNSIGNED, why=refusal.detail))
            return _answer({"error": "unauthorized"}, 401)
        return _answer(self._doors.acknowledgement, 200)

    async def _foreign(self, who: Visitor) -> None:
        """Anybody can call here: a flood must fill neither the audit trail nor its backlog."""
        metrics.ALARMS.labels("callback-peer").inc()
        if not await self._ground.throttle.hit(PerMinute(1), "foreign-peer", who.source):
            self._ground.trail.gather(who.entry(FOREIGN))


def _answer(body: Mapping[str, str], status: int) -> Response:
    return no_store(JSONResponse(dict(body), status_code=status))
