"""The consent page, and the proof that a press came from it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from starlette.requests import Request
from starlette.responses import Response

from idp.kernel.clock import moment
from idp.kernel.errors import InvalidRequest
from idp.kernel.forms import Forms
from idp.kernel.templates import Templates
from idp.kernel.vault import digest
from idp.kernel.web import origin_of
from idp.login.browsers import browser_of
from idp.login.persons import Person
from idp.login.session import Session
from idp.oidc import scopes
from idp.oidc.pending import Pending
from idp.oidc.people import Mask, People
from idp.oidc.settings import OidcSettings

# what a person would like to know that it stays with us
_WITHHELD = (
    *("name", "gender", "birthdate", "twid_masked", "email", "phone_number", "address", "twid"),
)
# what the page says of the client
_TOLD = {
    *("client_name", "client_name_en", "agency", "purpose", "purpose_en"),
    *("policy_uri", "client_uri", "kiosk"),
}


class ConsentPage:
    def __init__(
        self,
        templates: Templates,
        forms: Forms,
        people: People,
        mask: Mask,
        settings: OidcSettings,
    ) -> None:
        self._templates, self._forms = templates, forms
        self._people, self._mask, self._settings = people, mask, settings

    async def show(
        self, request: Request, pending: Pending, session: Session, person: Person
    ) -> Response:
        asked, templates = pending.request, self._templates
        kiosk = pending.client.metadata.kiosk
        values = await self._values(pending, person)
        return templates.page(
            request,
            "oidc/consent.html",
            language=templates.language(request, asked.ui_locales),
            form_targets=(origin_of(asked.redirect_uri),),
            client=pending.client.metadata,
            rows=[
                (name, self._shown(name, value))
                for name, value in values.items()
                if name not in scopes.BESIDE.values()
            ],
            apis=[self._label(scope) for scope in scopes.of_apis(asked.scope)],
            withheld=_withheld(pending.released),
            browser=browser_of(request.headers.get("user-agent", "")),
            asked_at=moment(pending.since),
            kiosk=kiosk,
            clears=f"{pending.path}/cancelled" if kiosk else "",
            long_lived="offline_access" in asked.scope,
            authorization_id=pending.id,
            csrf=self._forms.sign(pending.browser),
            session=self._forms.sign(_proof(pending, session)),
        )

    async def given(self, pending: Pending, person: Person) -> tuple[str, ...]:
        """The names of what is known of the person and released to the client."""
        values = await self._values(pending, person)
        return tuple(name for name in pending.released if name in values)

    async def _values(self, pending: Pending, person: Person) -> dict[str, object]:
        index, sealed, scope = person.number_index, person.number_sealed, pending.request.scope
        return await self._people.claims(index, sealed, scope, pending.requested)

    def shown_to(self, form: Mapping[str, str], pending: Pending, session: Session | None) -> bool:
        """Whether the form was shown to whoever is logged in now, and said what would be granted
        now. Raises ForgedRequest if we never showed it: who writes the field by hand wants a code
        without being asked."""
        proof = self._forms.signed(form.get("session", ""))
        return session is not None and proof == _proof(pending, session)

    def _label(self, scope: str) -> tuple[str, str]:
        """What a service may do with it, in Chinese and in English."""
        known = self._settings
        return known.scope_labels.get(scope, scope), known.scope_labels_en.get(scope, "")

    def _shown(self, name: str, value: object) -> str:
        """On a screen that others may see, the number is masked; what is given is the whole."""
        if isinstance(value, dict):  # an address
            return ", ".join(value.values())
        if name == "updated_at" and isinstance(value, int):
            return moment(value)["text"]
        return self._mask(str(value)) if name in scopes.CLAIMS["twid"] else str(value)


def _proof(pending: Pending, session: Session) -> str:
    """Who was asked (the session), by whom and for what: what is granted is what was shown."""
    client = pending.client.metadata.model_dump(include=_TOLD)
    shown = [pending.client.client_id, pending.request.redirect_uri, client]
    text = json.dumps([*shown, pending.request.consent_scope], sort_keys=True)
    return f"{session.form_proof(pending.path)}:{digest(text)[:22]}"


def allowed(form: Mapping[str, str]) -> bool:
    """Which button it was."""
    decision = form.get("decision")
    if decision not in ("allow", "deny"):
        raise InvalidRequest("decision must be allow or deny")
    return decision == "allow"


def _withheld(released: Collection[str]) -> list[str]:
    """What this client does not get, of all that matters to a person. Part of a number is no more
    than the whole."""
    kept = [name for name in _WITHHELD if name not in released]
    return [name for name in kept if name != "twid_masked" or "twid" not in released]
