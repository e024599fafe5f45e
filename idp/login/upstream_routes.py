"""Where the upstream and the browsers it sends back arrive.

A POST from another site brings no SameSite=Lax cookie, so a return lands without one: its fields
are put aside, and a same-site GET, which has the cookie, takes them up.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from idp.kernel import audit, errors, metrics
from idp.kernel.answers import Answers
from idp.kernel.caller import Caller, caller_of
from idp.kernel.clock import token
from idp.kernel.forms import read_tolerantly
from idp.kernel.services import Services
from idp.kernel.throttle import PerMinute
from idp.kernel.web import no_store, see_other, within
from idp.login import store
from idp.login.asking import AttemptPoller
from idp.login.persons import Persons
from idp.login.upstream_returns import UpstreamReturns
from idp.verify import Verifier
from idp.verify.schemes import Schemes

FOREIGN = audit.event("callback.foreign_peer", "a callback from an address that is not allowed")
UNSIGNED = audit.event("callback.unsigned", "a callback that is malformed or not signed")

LANDING_SECONDS = 60
LANDINGS_PER_MINUTE = 60  # from one address; a person comes back once
MAX_FIELDS_BYTES = 16_384  # a certificate may be among them


class UpstreamRoutes:
    def __init__(
        self, services: Services, poller: AttemptPoller, schemes: Schemes, persons: Persons
    ) -> None:
        self._services, self._poller, self._schemes = services, poller, schemes
        self._returns = UpstreamReturns(services, poller, schemes, persons)

    def routes(self, answers: Answers) -> list[Route]:
        return [route for verifier in self._schemes for route in self._of(verifier, answers)]

    def _of(self, verifier: Verifier, answers: Answers) -> Iterator[Route]:
        """Where this scheme's upstream reaches us."""
        paths = verifier.paths
        if paths.returns:
            land = functools.partial(self.land, verifier)
            take_up = functools.partial(self.take_up, verifier)
            yield Route(paths.returns, answers.page(land), methods=["GET", "POST"])
            yield Route(paths.returns + "/{landing}", answers.page(take_up), methods=["GET"])
        if paths.callback:
            called = functools.partial(self.callback, verifier)
            yield Route(paths.callback, answers.program(called), methods=["POST"])

    async def land(self, verifier: Verifier, request: Request) -> Response:
        rate = PerMinute(LANDINGS_PER_MINUTE)
        wait = await self._services.throttle.hit(rate, "landing", caller_of(request).source)
        if wait:
            raise errors.TooManyRequests(retry_after=wait)
        text = json.dumps(dict((await read_tolerantly(request)).once()))
        if len(text) > MAX_FIELDS_BYTES:
            raise errors.TooLarge
        landing, now = token(16), self._services.clock.now()
        sealed = self._services.vault.seal("landing", text)
        database = self._services.database
        await store.insert_landing(database, landing, sealed, now + LANDING_SECONDS)
        return see_other(f"{verifier.paths.returns}/{landing}")

    async def take_up(self, verifier: Verifier, request: Request) -> Response:
        landing, now = request.path_params["landing"], self._services.clock.now()
        sealed = await self._services.database.write(
            lambda tx: store.take_landing(tx, landing, now)
        )
        if sealed is None:
            raise errors.AlreadyFinished
        fields = json.loads(self._services.vault.open_text("landing", sealed))
        who = caller_of(request)
        login_id = await self._returns.brought_back(verifier, fields, who)
        await self._poller.ask_login(login_id, who)
        return see_other(f"/login/{login_id}")

    async def callback(self, verifier: Verifier, request: Request) -> Response:
        """Acknowledged whatever verdict it brings: the upstream may be waiting for our answer.
        The source address comes first: no cipher runs for strangers."""
        who = caller_of(request)
        if not within(who.address, verifier.paths.callback_peers):
            await self._foreign(who)
            return _answer({"error": "forbidden"}, 403)
        try:
            await self._returns.called(verifier, await request.body(), who)
        except errors.Disagreement as refusal:
            metrics.ALARMS.labels("callback-unsigned").inc()
            entry = who.entry(UNSIGNED, why=refusal.detail)
            if await self._services.seldom(entry):
                self._services.trail.gather(entry)
            return _answer({"error": "unauthorized"}, 401)
        return _answer(verifier.paths.acknowledgement, 200)

    async def _foreign(self, who: Caller) -> None:
        """Anybody can call here: a flood must fill neither the audit trail nor its backlog."""
        metrics.ALARMS.labels("callback-peer").inc()
        if not await self._services.throttle.hit(PerMinute(1), "foreign-peer", who.source):
            self._services.trail.gather(who.entry(FOREIGN))


def _answer(body: Mapping[str, str], status: int) -> Response:
    return no_store(JSONResponse(dict(body), status_code=status))
