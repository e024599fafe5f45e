"""A master key is changed while the bridge serves: nothing is lost, and the old key opens nothing
that is kept."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from idp.house import directory_of, persons_of
from idp.kernel.reseal import SealedColumn, left, reseal, sealed_columns
from idp.kernel.services import Services, make_services
from idp.kernel.tables import metadata
from idp.kernel.vault import VaultBroken
from idp.settings import Settings
from idp.verify.numbers import canonical
from tests.actors import Browser, Service, log_in
from tests.house import TestHouse

ALICE = "A100000010"
MEMBERS = """\
card_number,name,gender,identity_type,organization,national_id
07302590,王小明,男,用户,國家圖書館,A100000010
"""
NEW_KEY = secrets.token_hex(32)


def with_keys(settings: Settings, key: str, *others: str) -> Settings:
    """The same bridge under another master key."""
    keys = settings.keys.model_copy(
        update={
            "master_key": SecretStr(key),
            "other_master_keys": tuple(SecretStr(other) for other in others),
        }
    )
    return settings.model_copy(update={"keys": keys})


async def lived_in(house: TestHouse) -> None:
    """Rows in every table that has sealed columns."""
    service = Service(house, await house.register("service"))
    browser = Browser(house)
    await service.redeem(await log_in(browser, service))
    await browser.open(service.url(login_hint=ALICE, prompt="login"))
    await browser.press("continue", method="web")
    await directory_of(house.services).take_in(MEMBERS.splitlines(True), canonical)
    await house.house.clients.uses.flush()
    await house.services.trail.flush()


async def values(services: Services, sealed: SealedColumn) -> list[Any]:
    rows = await services.database.all(select(sealed.column.table))
    return [row for row in rows if row[sealed.column.name]]


async def test_everything_opens_under_the_new_key_alone(house: TestHouse) -> None:
    """After `reseal` the former key can be taken away: every sealed value opens, for the purpose
    that its column names, and persons and the audit trail are found as before."""
    await lived_in(house)
    old = house.settings.keys.master_key
    assert old is not None
    index = house.house.login.persons.index(ALICE)
    changing = make_services(with_keys(house.settings, NEW_KEY, old.get_secret_value()))
    async with changing.opened():
        told: list[tuple[str, int]] = []
        total = await reseal(changing.database, changing.vault, lambda *said: told.append(said))
        assert total == told[-1][1] > 5
        assert await left(changing.database, changing.vault) == 0
        assert await reseal(changing.database, changing.vault) == 0
    after = make_services(with_keys(house.settings, NEW_KEY))
    async with after.opened():
        await after.keyring.load()
        assert persons_of(after).index(ALICE) == index
        for sealed in sealed_columns():
            for row in await values(after, sealed):
                assert after.vault.open(sealed.purpose.format_map(row), row[sealed.column.name])
        entries = await after.trail.search()
        assert {entry["address"] for entry in entries} >= {"203.0.113.7"}


async def test_the_old_key_alone_opens_nothing_that_was_sealed_anew(house: TestHouse) -> None:
    """Whoever still has the former key cannot even start a bridge on this database."""
    old = house.settings.keys.master_key
    assert old is not None
    changing = make_services(with_keys(house.settings, NEW_KEY, old.get_secret_value()))
    async with changing.opened():
        await reseal(changing.database, changing.vault)
    with pytest.raises(VaultBroken):
        async with make_services(house.settings).opened():
            pass


async def test_an_interrupted_run_is_begun_again(house: TestHouse) -> None:
    """What was done stays done; the second run does the rest."""
    await lived_in(house)
    old = house.settings.keys.master_key
    assert old is not None
    changing = make_services(with_keys(house.settings, NEW_KEY, old.get_secret_value()))

    class Interrupted(Exception):
        pass

    def interrupt(_name: str, _total: int) -> None:
        raise Interrupted

    async with changing.opened():
        with pytest.raises(Interrupted):
            await reseal(changing.database, changing.vault, interrupt)
        assert await left(changing.database, changing.vault) > 0
        assert await reseal(changing.database, changing.vault) > 0
        assert await left(changing.database, changing.vault) == 0


async def test_the_bridge_serves_meanwhile(house: TestHouse) -> None:
    """A worker that knows both keys and still seals under the former one logs people in during the
    change, and is followed up by one more run."""
    await lived_in(house)
    old = house.settings.keys.master_key
    assert old is not None
    former = with_keys(house.settings, old.get_secret_value(), NEW_KEY)
    worker, changing = (
        make_services(former),
        make_services(with_keys(house.settings, NEW_KEY, old.get_secret_value())),
    )
    async with worker.opened(), changing.opened():
        await reseal(changing.database, changing.vault)
        await worker.keyring.load()
        persons = persons_of(worker)
        person = await worker.database.write(lambda tx: persons.meet(tx, "A123456789"))
        assert person.enabled
        assert await persons.number(worker.database, person.id) == "A123456789"
        assert worker.forms.signed(changing.forms.sign("x")) == "x"
        assert await left(changing.database, changing.vault) == 1
        assert await reseal(changing.database, changing.vault) == 1


def test_every_sealed_column_names_its_purpose() -> None:
    """The list is made from the tables: a column that is sealed cannot be forgotten."""
    named = {column for table in metadata.tables.values() for column in table.c}
    sealed = {c for c in named if c.name.endswith("_sealed")}
    assert sealed == {c for c in named if c.info.get("purpose")}
    assert len(list(sealed_columns())) == len([c for c in sealed if not c.info["for_good"]])


def test_every_column_says_what_it_holds() -> None:
    """tables.py has a word of explanation for each column."""
    silent = [str(c) for table in metadata.tables.values() for c in table.c if not c.doc]
    assert silent == []
