"""Consent: asked once for a client and a scope, and again when the scope grows."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from starlette.requests import Request
from starlette.responses import Response

from idp.kernel import audit
from idp.kernel.caller import caller_of
from idp.kernel.clock import moment, token
from idp.kernel.database import Row, Transaction
from idp.kernel.errors import ConsentRequired, InvalidRequest
from idp.kernel.services import Services
from idp.kernel.vault import digest
from idp.kernel.web import origin_of
from idp.login import history
from idp.login.browsers import browser_of
from idp.login.pages import Login
from idp.login.session import Session
from idp.oidc import scopes, store
from idp.oidc.pending import Pending
from idp.oidc.people import People

CONSENTED = audit.event("consent.given", "a person agreed to give claims to a client")
DECLINED = audit.event("consent.declined", "a person did not agree")


class Consents:
    def __init__(self, services: Services, people: People, login: Login) -> None:
        self._services, self._people, self._login = services, people, login

    async def of(self, person_id: str, client_id: str) -> frozenset[str]:
        """What the person has allowed the client before."""
        row = await self._services.database.one(store.CONSENT, person=person_id, client=client_id)
        return frozenset(row["scope"].split()) if row else frozenset()

    async def still(self, tx: Transaction, pending: Pending, session: Session) -> None:
        """In the transaction of the grant, as it is now. Raises ConsentRequired."""
        if pending.client.metadata.trusted:
            return
        of = {"person": session.person_id, "client": pending.client.client_id}
        row = await tx.one(store.STILL_CONSENTED, **of)
        if row is None or not set(pending.request.consent_scope) <= set(row["scope"].split()):
            raise ConsentRequired(detail="withdrawn at this moment")

    async def page(
        self, request: Request, pending: Pending, session: Session, person: Row
    ) -> Response:
        asked, templates = pending.request, self._services.templates
        values = await self._people.claims(
            person["number_index"],
            person["number_sealed"],
            asked.scope,
            (claim for names in asked.singly.values() for claim in names),
        )
        return templates.page(
            request,
            "oidc/consent.html",
            language=templates.language(request, asked.ui_locales),
            form_targets=(origin_of(asked.redirect_uri),),
            client=pending.client.metadata,
            rows=[(name, _shown(name, value, self._login)) for name, value in values.items()],
            withheld=_withheld(pending.released),
            browser=browser_of(request.headers.get("user-agent", "")),
            asked_at=moment(pending.since),
            kiosk=pending.client.metadata.kiosk,
            clears=f"{pending.path}/cancelled" if pending.client.metadata.kiosk else "",
            long_lived="offline_access" in asked.scope,
            authorization_id=pending.id,
            csrf=self._services.forms.sign(pending.browser),
            session=self._services.forms.sign(_mark(pending, session)),
        )

    def shown_to(self, form: Mapping[str, str], pending: Pending, session: Session | None) -> bool:
        """Whether the form was shown to whoever is logged in now. Raises ForgedRequest if we
        never showed it: who writes the field by hand wants a code without being asked."""
        mark = self._services.forms.signed(form.get("session", ""))
        return session is not None and mark == _mark(pending, session)

    @staticmethod
    def allowed(form: Mapping[str, str]) -> bool:
        decision = form.get("decision")
        if decision not in ("allow", "deny"):
            raise InvalidRequest("decision must be allow or deny")
        return decision == "allow"

    async def remember(
        self, tx: Transaction, request: Request, pending: Pending, session: Session
    ) -> None:
        """What was agreed before stays agreed."""
        client_id = pending.client.client_id
        row = await tx.one(store.CONSENT, person=session.person_id, client=client_id)
        before = set(row["scope"].split()) if row else set()
        scope = " ".join(sorted(before | set(pending.request.consent_scope)))
        await tx.run(
            store.GIVE_CONSENT,
            person=session.person_id,
            client=client_id,
            scope=scope,
            now=self._services.clock.now(),
        )
        await self._services.trail.write(
            tx, entry(CONSENTED, request, pending, session, scope=scope)
        )

    async def declined(self, request: Request, pending: Pending, session: Session) -> None:
        now, persons = self._services.clock.now(), self._login.persons

        async def work(tx: Transaction) -> None:
            person = await persons.row(tx, session.person_id)
            await history.write(tx, pending.use(token(16), person, session, history.DECLINED), now)
            await self._services.trail.write(tx, entry(DECLINED, request, pending, session))

        await self._services.database.write(work)


def entry(
    event: str, request: Request, pending: Pending, session: Session, **detail: str
) -> audit.Entry:
    return audit.entry(
        event,
        reference=caller_of(request).reference,
        client_id=pending.client.client_id,
        person_id=session.person_id,
        address=caller_of(request).address,
        **detail,
    )


def _mark(pending: Pending, session: Session) -> str:
    return f"{pending.id}:{digest(session.id)[:22]}"


def _withheld(released: Collection[str]) -> list[str]:
    """What this client does not get, of all that we could give. Part of a number is no more than
    the whole."""
    kept = [name for name in scopes.released(scopes.CLAIMS) if name not in released]
    return [name for name in kept if name != "twid_masked" or "twid" not in released]


def _shown(name: str, value: object, login: Login) -> str:
    """On a screen that others may see, the number is masked; what is given is the whole."""
    return login.masked(str(value)) if name in scopes.CLAIMS["twid"] else str(value)
