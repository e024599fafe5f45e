"""What each grant needs to know before it decides: at most one query for its row, and one for
the claims of its person."""

from __future__ import annotations

import re
from dataclasses import replace

from idp.kernel.database import Database
from idp.kernel.errors import InvalidRequest
from idp.kernel.forms import Params
from idp.kernel.vault import digest
from idp.oidc import store
from idp.oidc.people import People
from idp.oidc.preload import Preloaded
from idp.oidc.tokens import Tokens

_CODE = re.compile(r"\Atwc_[A-Za-z0-9_-]{43}\Z", re.ASCII)
_VERIFIER = re.compile(r"\A[A-Za-z0-9._~-]{43,128}\Z", re.ASCII)  # RFC 7636 §4.1


class Loader:
    def __init__(self, database: Database, tokens: Tokens, people: People) -> None:
        self._database, self._tokens, self._people = database, tokens, people

    async def as_it_is(self, known: Preloaded, _form: Params) -> Preloaded:
        """For a grant that asks for nothing but its client."""
        return known

    async def with_code(self, known: Preloaded, form: Params) -> Preloaded:
        """Raises InvalidRequest for a verifier that can be none."""
        verifier = form.get("code_verifier")
        if verifier is not None and not _VERIFIER.match(verifier):
            raise InvalidRequest("code_verifier must be 43 to 128 unreserved characters")
        presented = form.get("code", "")
        if not _CODE.match(presented):
            return known
        code = await store.code_by_digest(self._database, digest(presented))
        if code is None:
            return known
        code = replace(code, grant=code.grant.within(known.client))
        signed = await self._people.signed(known.client, code.grant)
        return replace(known, code=code, signed_claims=signed)

    async def with_refresh_token(self, known: Preloaded, form: Params) -> Preloaded:
        presented = self._tokens.read_refresh_token(form.get("refresh_token", ""))
        if presented is None:
            return known
        grant_id, generation = presented
        grant = await store.grant_by_id(self._database, grant_id)
        if grant is None:
            return known
        grant = grant.within(known.client)
        signed = await self._people.signed(known.client, grant)
        return replace(known, refresh=grant, generation=generation, signed_claims=signed)
