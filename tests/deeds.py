"""What people have allowed, written straight into the store: for tests of what comes after."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import bindparam, select, update

from idp.kernel.clock import token
from idp.kernel.database import Transaction
from idp.kernel.tables import codes, grants, revoked_tokens, spent_assertions
from idp.kernel.vault import digest
from idp.login.verified import Verified
from idp.oidc import store
from idp.oidc.request import AuthorizationRequest
from tests.actors import Service
from tests.house import TestHouse

# rows that do not depend on the kind of the store
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

# races: who wins is the question, not how busy the machine is
patiently = pytest.mark.usefixtures("patient_store")

PERSON = "A100000010"
_GRANT = select(grants).where(grants.c.id == bindparam("id"))
_CODE = select(codes).where(codes.c.grant_id == bindparam("id"))


def challenge(verifier: str) -> str:
    """RFC 7636 §4.2."""
    hashed = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(hashed).decode().rstrip("=")


@dataclass
class Deed:
    """A person has allowed a service something; the code is on its way."""

    service: Service
    code: str
    grant_id: str
    person_id: str
    session_id: str

    @property
    def house(self) -> TestHouse:
        return self.service.house

    async def tokens(self, **changes: str | None) -> dict[str, Any]:
        """Redeems the code, which must succeed."""
        answer = await self.service.redeem(self.code, **changes)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def grant(self) -> dict[str, Any]:
        return dict(await self.house.services.database.one(_GRANT, id=self.grant_id))

    async def revoked(self) -> bool:
        return (await self.grant())["revoked_at"] is not None

    async def burnt(self) -> bool:
        row = await self.house.services.database.one(_CODE, id=self.grant_id)
        return row["spent_at"] is not None


async def allow(service: Service, number: str = PERSON, **changes: Any) -> Deed:
    """The person `number` has logged in and allowed `service` what it asks. `changes` replace
    columns of the grant or the code."""
    house, code, grant_id = service.house, "twc_" + token(32), token(16)
    login, now = house.house.login, house.clock.now()
    owner: dict[str, str] = {}

    async def work(tx: Transaction) -> None:
        person = await login.persons.meet(tx, number)
        method = house.house.schemes.methods["twfido:qr"]
        verified = Verified(number, method.id, method.acr, method.amr, "", now)
        session, _ = await login.sessions.begin(tx, person.id, verified, None)
        owner.update(person=person.id, session=session.id)
        asked = AuthorizationRequest(
            service.registered.id,
            service.redirect_uri,
            ("openid", "profile"),
            nonce=service.nonce,
            code_challenge=challenge(service.verifier),
        )
        settings = house.settings.oidc
        until = now + settings.refresh_absolute_seconds
        await store.insert_grant(tx, grant_id, asked, session, now, until)
        expires_at = now + settings.code_seconds
        await store.insert_code(tx, digest(code), grant_id, asked, expires_at)
        for table, row in ((grants, grants.c.id), (codes, codes.c.grant_id)):
            values = {k: v for k, v in changes.items() if k in table.c}
            if values:
                await tx.run(
                    update(table).where(row == bindparam("which")).values(values), which=grant_id
                )

    await house.services.database.write(work)
    return Deed(service, code, grant_id, owner["person"], owner["session"])


async def switch_person(deed: Deed, *, enabled: bool) -> None:
    """What an operator does to a person."""
    persons = deed.house.house.login.persons
    await deed.house.services.database.write(
        lambda tx: persons.switch(tx, deed.person_id, enabled=enabled)
    )


async def stored(house: TestHouse) -> dict[str, list[dict[str, Any]]]:
    """All that a token request could change."""
    tables = {t.name: t for t in (codes, grants, revoked_tokens, spent_assertions)}
    rows = {n: await house.services.database.all(select(t)) for n, t in tables.items()}
    return {n: sorted((dict(r) for r in found), key=str) for n, found in rows.items()}


def refused(answer: httpx.Response, status: int, error: str) -> None:
    """RFC 6749 §5.2: JSON that nobody stores, in characters that anybody can read; a 401 says
    how to authenticate, a 405 what is allowed, 429 and 503 when to come back."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["error"] == error, body
    assert body.keys() == {"error", "error_description"}
    assert body["error_description"].isascii()
    assert ("www-authenticate" in answer.headers) == (status in (401, 403))
    assert ("retry-after" in answer.headers) == (status in (429, 503))


def challenged(answer: httpx.Response) -> None:
    """A client that failed to authenticate is told the scheme."""
    refused(answer, 401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic realm=")


def not_allowed(answer: httpx.Response, *methods: str) -> None:
    """RFC 9110 §15.5.6."""
    assert answer.status_code == 405
    assert set(answer.headers["allow"].replace(" ", "").split(",")) == set(methods)
