"""The register of clients: seen by every worker, and never more than two secrets alive."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from idp.house import clients_of, registrar_of
from idp.jobs import Follower
from idp.kernel.database import Conflict
from idp.kernel.tables import client_secrets, upstream_accounts
from idp.registry.accounts import Accounts
from idp.registry.registration import Registration
from idp.verify.twfido.settings import System
from tests.house import TestHouse


async def alive(house: TestHouse, client_id: str) -> int:
    """How many secrets would be accepted now."""
    now = house.clock.now()
    rows = await house.services.database.all(select(client_secrets))
    mine = [r for r in rows if r["client_id"] == client_id]
    return sum(r["expires_at"] is None or r["expires_at"] > now for r in mine)


async def test_a_secret_is_shown_once(house: TestHouse) -> None:
    """The store keeps a keyed digest and the last four characters, to tell secrets apart."""
    program = await house.register_program()
    rows = await house.services.database.all(select(client_secrets))
    assert rows[0]["hint"] == str(program.secret)[-4:]
    assert str(program.secret)[:-4] not in str([dict(r) for r in rows])
    assert [e["client_id"] for e in await house.events("client.created")] == [program.id]


async def test_an_id_is_taken_once(house: TestHouse) -> None:
    """The second is refused, and leaves no secret behind."""
    first = await house.register_program(client_id="twice")
    with pytest.raises(Conflict):
        await house.register_program(client_id="twice")
    assert await house.count(client_secrets) == 1
    assert first.client == await house.house.clients.find("twice")


async def test_rotating_within_one_second(house: TestHouse) -> None:
    """The newest secret lives, the one before it has its overlap, all older ones end at once."""
    program = await house.register_program()
    register = house.house.clients
    secrets = [str(program.secret)]
    for _ in range(4):
        secrets.append(await house.registrar.rotate_secret(program.id, 3600))
        assert await alive(house, program.id) == 2
    client = await register.find(program.id)
    assert client is not None
    known = [client.knows(register.digest(s), house.clock.now()) for s in secrets]
    assert known == [False, False, False, True, True]
    house.clock.pass_(3600)
    assert await alive(house, program.id) == 1


async def test_rotating_at_once(house: TestHouse) -> None:
    """Two operators at once do not leave three secrets alive."""
    program = await house.register_program()
    registers = [registrar_of(house.services) for _ in range(4)]
    await asyncio.gather(*(r.rotate_secret(program.id, 3600) for r in registers))
    assert await alive(house, program.id) == 2


async def test_rotating_for_nobody(house: TestHouse) -> None:
    """A client that does not exist is told apart from a store that is away."""
    with pytest.raises(LookupError):
        await house.registrar.rotate_secret("nobody", 0)


async def test_without_overlap(house: TestHouse) -> None:
    """A secret that leaked ends now."""
    program = await house.register_program()
    await house.registrar.rotate_secret(program.id, 0)
    assert await alive(house, program.id) == 1


async def test_other_workers_see_it(house: TestHouse) -> None:
    """What one process changes, another sees as soon as the stamp tells it to look."""
    program = await house.register_program()
    other = clients_of(house.services)
    assert (await other.active(program.id)) is not None
    await house.registrar.switch(program.id, enabled=False)
    other.forget()
    assert await other.active(program.id) is None
    assert (await other.find(program.id)) is not None


async def test_a_change_while_it_is_read(house: TestHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read before a change is not remembered after it."""
    program = await house.register_program()
    reader = clients_of(house.services)
    database = house.services.database
    really = database.all

    async def slowly(*statement: Any, **params: Any) -> Any:
        rows = await really(*statement, **params)
        monkeypatch.undo()
        await house.registrar.switch(program.id, enabled=False)
        reader.forget()  # the stamp came meanwhile
        return rows

    monkeypatch.setattr(database, "all", slowly)
    assert await reader.active(program.id) is not None
    assert await reader.active(program.id) is None


@pytest.mark.parametrize("client_id", ["", "\x00", "a b", "圖書館", "x" * 101, "'--"])
async def test_ids_that_nobody_has(house: TestHouse, client_id: str) -> None:
    """Whatever is asked for, it is nobody, and the store is not bothered."""
    assert await house.house.clients.find(client_id) is None


async def test_changing_the_way_to_authenticate(house: TestHouse) -> None:
    """A client that no longer has secrets keeps none."""
    registered = await house.register("service")
    known = registered.client.metadata.model_dump()
    changed = Registration.model_validate(known | {"token_endpoint_auth_method": "none"})
    await house.registrar.update("service", changed)
    assert await house.count(client_secrets) == 0
    with pytest.raises(LookupError):
        await house.registrar.update("nobody", changed)


async def test_a_client_s_own_account_is_sealed(house: TestHouse) -> None:
    """Its key at the verifier is not to be read in the store, and it is found by its account."""
    program, accounts = await house.register_program(), house.house.accounts
    key = "0F1E2D3C4B5A69788796A5B4C3D2E1F0"
    known: dict[str, Any] = {"syscode": "20200820100951269231", "keys": (key,), "name": "館藏"}
    await accounts.set(program.id, "twfido", known["syscode"], System(**known).document())
    for found in (
        await accounts.named("twfido", known["syscode"]),
        await accounts.of("twfido", program.id),
    ):
        assert found is not None
        assert System.read(found) == System(**known)
    assert await accounts.of("passport", program.id) is None
    assert await accounts.named("passport", known["syscode"]) is None
    rows = str([dict(r) for r in await house.services.database.all(select(upstream_accounts))])
    assert key not in rows
    assert known["syscode"] not in rows
    await accounts.drop(program.id, "twfido")
    assert await accounts.named("twfido", known["syscode"]) is None
    assert await accounts.of("twfido", program.id) is None


async def test_accounts_are_read_anew_when_the_stamp_grows(house: TestHouse) -> None:
    """What another process stored is used after `forget`, and is not asked for before."""
    program, ours = await house.register_program(), house.house.accounts
    services = house.services
    theirs = Accounts(services.database, services.vault, services.clock, services.trail)
    assert await ours.of("twfido", program.id) is None
    await theirs.set(program.id, "twfido", "1", {"name": "one"})
    assert await ours.of("twfido", program.id) is None
    await Follower(house.house).look()
    assert await ours.of("twfido", program.id) == {"name": "one"}
    await theirs.set(program.id, "twfido", "2", {"name": "two"})
    await theirs.set(program.id, "passport", "2", {"name": "three"})
    ours.forget()
    assert await ours.named("twfido", "1") is None
    assert await ours.named("twfido", "2") == {"name": "two"}
    assert await ours.named("passport", "2") == {"name": "three"}
    assert await ours.schemes_of(program.id) == ["passport", "twfido"]
    events = await house.events("client.account_set")
    assert [e["detail"]["scheme"] for e in events] == ["twfido", "twfido", "passport"]
