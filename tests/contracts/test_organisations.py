"""Organisations own clients: at most three live keys, all of them stopped at once, each with an
end and a last use."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from idp.house import clients_of, organisations_of, registrar_of
from idp.kernel.database import Conflict
from idp.kernel.tables import clients, credential_uses, organisations
from idp.registry.changes import KEY_LIFE, OVERLAP, Registrar
from idp.registry.organisations import MOST_KEYS, Refused
from idp.registry.registration import Registration
from idp.registry.secrets import HeldCredentials, HeldSecret, held_credentials
from tests.deeds import challenged
from tests.house import HOME, Registered, TestHouse
from tests.keys import Signer, form

PROGRAM = Registration(
    client_name="時刻表", grant_types=("client_credentials",), scopes=("api:read",)
)
SITE = Registration(client_name="網站", redirect_uris=("https://a.test/cb",), scopes=("openid",))
DAY = 86_400


@pytest.fixture
async def library(house: TestHouse) -> str:
    """An organisation's id."""
    return (await organisations_of(house.services).create("國家圖書館", "National Library")).id


async def key(house: TestHouse, owner: str, register: Registrar | None = None, **more: Any) -> Any:
    made = await (register or house.registrar).create(PROGRAM, organisation=owner, **more)
    return Registered(*made)


async def fetch(house: TestHouse, made: Registered, secret: str = "") -> httpx.Response:
    """A token request with a secret of this key."""
    auth = (made.id, secret or made.secret or "")
    return await house.http().post("/token", data={"grant_type": "client_credentials"}, auth=auth)


async def credentials(house: TestHouse, client_id: str = "") -> dict[str, HeldCredentials]:
    return await held_credentials(house.services.database, house.services.vault, client_id)


async def held(house: TestHouse, client_id: str) -> list[HeldSecret]:
    return (await credentials(house, client_id))[client_id].secrets


async def live(house: TestHouse, owner: str) -> int:
    now = house.clock.now()
    return sum(c.state(now) == "live" for c in await house.house.clients.owned(owner))


async def test_what_an_organisation_is(house: TestHouse) -> None:
    """Named in both languages, found by its id, registered once, and audited."""
    register = organisations_of(house.services)
    made = await register.create("國家圖書館", "National Library", "ncl")
    assert await register.find("ncl") == made == (await register.all())[0]
    assert (made.name, made.name_en, made.disabled) == ("國家圖書館", "National Library", False)
    with pytest.raises(Conflict):
        await register.create("另一個", key="ncl")
    assert len(await house.events("organisation.created")) == 1


@pytest.mark.parametrize(
    ("name", "key"),
    [("", None), (" ", None), ("a\u202eb", None), ("x" * 101, None), ("好", "a b"), ("好", "é")],
)
async def test_names_and_ids_that_are_none(house: TestHouse, name: str, key: str | None) -> None:
    """Refused, and nothing is stored."""
    with pytest.raises(ValueError, match=r"visible|empty|id is"):
        await organisations_of(house.services).create(name, key=key)
    assert await house.count(organisations) == 0


async def test_a_fourth_key_is_refused(house: TestHouse, library: str) -> None:
    """Three are the most; the refusal says what to do, stores nothing, and a disabled key makes
    room for one."""
    made = [await key(house, library) for _ in range(MOST_KEYS)]
    with pytest.raises(Refused, match=r"最多 3 組；請先停用一組.*disable one first"):
        await key(house, library)
    assert await house.count(clients) == MOST_KEYS
    await house.registrar.switch(made[0].id, enabled=False)
    await key(house, library)
    with pytest.raises(Refused):
        await house.registrar.switch(made[0].id, enabled=True)
    assert await live(house, library) == MOST_KEYS


async def test_what_is_not_a_key_is_not_counted(house: TestHouse, library: str) -> None:
    """Web clients, and the keys of others, take no room; a web client that becomes a program
    does."""
    other = (await organisations_of(house.services).create("別人")).id
    for owner in (library, other):
        for _ in range(MOST_KEYS):
            await key(house, owner)
    site, _ = await house.registrar.create(SITE, organisation=library)
    both = SITE.model_copy(update={"grant_types": ("authorization_code", "client_credentials")})
    with pytest.raises(Refused):
        await house.registrar.update(site.client_id, both)
    assert await live(house, library) == MOST_KEYS + 1


async def test_two_at_once_cannot_make_four(house: TestHouse, library: str) -> None:
    """Whoever comes in the same moment, by creating, enabling or rotating: three stay the most."""
    old = [await key(house, library, life=60) for _ in range(2)]
    house.clock.pass_(60)
    off = await key(house, library)
    await house.registrar.switch(off.id, enabled=False)
    registers = [registrar_of(house.services) for _ in range(8)]
    deeds = [
        *(key(house, library, register) for register in registers),
        *(house.registrar.rotate_secret(made.id) for made in old),
        house.registrar.switch(off.id, enabled=True),
    ]
    ends = await asyncio.gather(*deeds, return_exceptions=True)
    assert sum(isinstance(end, Refused) for end in ends) == len(deeds) - MOST_KEYS, ends
    assert await live(house, library) == MOST_KEYS


async def test_an_organisation_that_is_nobody(house: TestHouse) -> None:
    """No client belongs to it, and it is not switched."""
    with pytest.raises(LookupError):
        await key(house, "nobody")
    with pytest.raises(LookupError):
        await organisations_of(house.services).switch("nobody", enabled=False)
    assert await organisations_of(house.services).find("no'body") is None
    assert await house.count(clients) == 0


async def test_disabling_stops_all_its_clients(house: TestHouse, library: str) -> None:
    """Its keys get no token, the tokens that they have are refused, others go on; a key that was
    disabled itself stays so when the organisation is back."""
    one, two = await key(house, library), await key(house, library)
    stranger = await house.register_program()
    token = (await fetch(house, one)).json()["access_token"]
    await house.registrar.switch(two.id, enabled=False)
    await organisations_of(house.services).switch(library, enabled=False)
    house.house.clients.forget()  # as the stamp tells each worker
    challenged(await fetch(house, one))
    assert (await fetch(house, stranger)).status_code == 200
    assert await house.house.clients.active(one.id) is None
    asked = await house.http().post(
        "/introspect", data={"token": token}, auth=(stranger.id, stranger.secret or "")
    )
    assert asked.json() == {"active": False}
    await organisations_of(house.services).switch(library, enabled=True)
    house.house.clients.forget()
    assert (await fetch(house, one)).status_code == 200
    challenged(await fetch(house, two))
    for event in ("organisation.disabled", "organisation.enabled"):
        assert [e["detail"]["organisation"] for e in await house.events(event)] == [library]


async def test_running_workers_notice(house: TestHouse, library: str) -> None:
    """A worker that remembers the client looks at the stamp, and sees what another process did."""
    from idp.jobs import Follower

    made, follower = await key(house, library), Follower(house.house)
    await follower.look()
    assert (await fetch(house, made)).status_code == 200
    await organisations_of(house.services).switch(library, enabled=False)
    await follower.look()
    challenged(await fetch(house, made))


async def test_a_key_has_an_end(house: TestHouse, library: str) -> None:
    """360 days unless another life is chosen; afterwards it is refused like a wrong secret, and
    no longer takes room; rotating brings it back for as long."""
    usual, short = await key(house, library), await key(house, library, life=30 * DAY)
    assert KEY_LIFE == 360 * DAY
    house.clock.pass_(30 * DAY - 1)
    assert (await fetch(house, short)).status_code == 200
    house.clock.pass_(1)
    challenged(await fetch(house, short))
    assert await live(house, library) == 1
    house.clock.pass_(330 * DAY - 1)
    assert (await fetch(house, usual)).status_code == 200
    house.clock.pass_(1)
    challenged(await fetch(house, usual))
    new = await house.registrar.rotate_secret(usual.id)
    assert (await fetch(house, usual, new)).status_code == 200
    challenged(await fetch(house, usual))
    _, newest = await held(house, usual.id)
    assert newest.expires_at == house.clock.now() + KEY_LIFE


async def test_an_overlap_does_not_prolong(house: TestHouse, library: str) -> None:
    """The old secret works for the overlap of seven days, and never beyond its own end."""
    made = await key(house, library)
    near = await key(house, library, life=DAY)
    now = house.clock.now()
    for one in (made, near):
        await house.registrar.rotate_secret(one.id)
    ends = [(await held(house, one.id))[0].expires_at for one in (made, near)]
    assert ends == [now + OVERLAP, now + DAY]
    assert OVERLAP == 7 * DAY


async def test_who_owns_no_key_has_no_end(house: TestHouse, library: str) -> None:
    """A program without an organisation, and a web client of one, live on unless told."""
    program = await house.register_program()
    site, _ = await house.registrar.create(SITE, organisation=library)
    for client_id in (program.id, site.client_id):
        assert [s.expires_at for s in await held(house, client_id)] == [None]


async def test_the_last_use_of_each_secret(house: TestHouse, library: str) -> None:
    """When and from where, told apart for the old secret and the new one; sealed in the store."""
    made = await key(house, library)
    new = await house.registrar.rotate_secret(made.id)
    assert [s.last_use for s in await held(house, made.id)] == [None, None]
    await fetch(house, made)
    house.clock.pass_(5)
    await fetch(house, made, new)
    challenged(await fetch(house, made, "wrong"))
    await house.house.clients.uses.flush()
    old_one, new_one = await held(house, made.id)
    assert (old_one.replaced, new_one.replaced) == (True, False)
    assert (new_one.hint, old_one.hint) == (new[-4:], str(made.secret)[-4:])
    assert old_one.last_use is not None
    assert new_one.last_use is not None
    assert new_one.last_use.at - old_one.last_use.at == 5
    assert new_one.last_use.address == HOME
    rows = await house.services.database.all(select(credential_uses))
    assert HOME not in str([dict(row) for row in rows])


async def test_a_last_use_is_written_once_a_minute(
    house: TestHouse, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many calls and workers: the token request itself writes nothing of it, and what is
    fresh is not written again."""
    made, written = await key(house, library), []
    another = clients_of(house.services).uses
    uses, database = house.house.clients.uses, house.services.database
    write = database.write

    async def counted(work: Any) -> Any:
        written.append(work)
        return await write(work)

    async def at() -> list[int]:
        return [r["used_at"] for r in await database.all(select(credential_uses))]

    monkeypatch.setattr(database, "write", counted)
    first = house.clock.now()
    for _ in range(5):
        await fetch(house, made)
        await uses.flush()
        house.clock.pass_(10)
    assert sum("Uses" in work.__qualname__ for work in written) == 1
    another.note((made.id, house.house.clients.digest(made.secret)), house.clock.now(), HOME)
    await another.flush()  # another worker, which does not know of the first
    assert await at() == [first]
    house.clock.pass_(10)
    await fetch(house, made)
    await uses.flush()
    assert await at() == [first + 60]


async def test_uses_are_written_in_batches(
    house: TestHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the store goes away in the middle, what was written is done with and the rest is
    written later."""
    from idp.kernel.errors import Unavailable
    from idp.registry import uses as module

    monkeypatch.setattr(module, "BATCH", 2)
    database, write, calls = house.services.database, house.services.database.write, []
    uses, now = module.Uses(database, house.services.vault), house.clock.now()
    ids = sorted([(await house.register_program()).id for _ in range(5)])
    for client_id in ids:
        uses.note((client_id, ""), now, HOME)

    async def failing(work: Any) -> Any:
        calls.append("Uses" in work.__qualname__)
        if calls[-1] and sum(calls) == 2:
            raise Unavailable
        return await write(work)

    async def written() -> list[str]:
        return sorted(row["client_id"] for row in await database.all(select(credential_uses)))

    monkeypatch.setattr(database, "write", failing)
    with pytest.raises(Unavailable):
        await uses.flush()
    assert await written() == ids[:2]
    await uses.flush()
    assert await written() == ids


async def test_a_last_use_outlives_a_store_that_was_away(
    house: TestHouse, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written is written when the store is back."""
    from idp.kernel.errors import Unavailable

    made, uses = await key(house, library), house.house.clients.uses

    async def away(_work: Any) -> None:
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(house.services.database, "write", away)
        assert (await fetch(house, made)).status_code == 200
        with pytest.raises(Unavailable):
            await uses.flush()
    await uses.flush()
    assert await house.count(credential_uses) == 1


async def test_the_last_use_of_a_client_s_own_keys(house: TestHouse) -> None:
    """private_key_jwt has no secret to tell apart: the use is the client's."""
    signer = Signer()
    await house.register_program(
        client_id=signer.client_id,
        token_endpoint_auth_method="private_key_jwt",
        jwks={"keys": [signer.public()]},
    )
    wanted = {**form(signer.assertion(house)), "grant_type": "client_credentials"}
    assert (await house.http().post("/token", data=wanted)).status_code == 200
    await house.house.clients.uses.flush()
    found = (await credentials(house, signer.client_id))[signer.client_id]
    assert found.secrets == []
    assert found.keys_last_use is not None
    assert found.keys_last_use.address == HOME
    assert (await credentials(house))[signer.client_id] == found
