"""The member directory and its codes, on every database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from idp.cli.members import described
from idp.kernel.housekeeping import sweep
from idp.kernel.tables import binding_codes, members
from idp.kernel.vault import VaultBroken
from idp.members import codes
from idp.members.sheet import SheetRefused
from idp.verify import numbers
from tests.wecard import (
    ALICE,
    BOB,
    CARD,
    WORD_CARD,
    Organisation,
    card_database,
    found,
    organisation,
)

__all__ = ["card_database", "found", "organisation"]

HEADER = "card_number,name,gender,identity_type,organization,national_id,telephone"


async def count(house: Organisation) -> int:
    row = await house.services.database.one(select(func.count().label("n")).select_from(members))
    assert row
    return int(row["n"])


async def test_an_import_adds_and_updates(organisation: Organisation) -> None:
    """A second list updates the cards it names and leaves the others alone; it is audited."""
    sheet = f"{HEADER}\n{CARD},王大明,男,職員,新單位,{ALICE},\n8,乙,女,a,b,,\n"
    report = await organisation.enrol(sheet)
    assert (report.lines, report.added, report.updated, report.rejected) == (2, 1, 1, ())
    assert await count(organisation) == 4
    member = await organisation.directory.by_card(organisation.services.database, CARD)
    assert member and organisation.directory.record(member)["name"] == "王大明"
    assert [e["detail"] for e in await organisation.events("members.imported")] == [
        {"added": 3, "updated": 0},
        {"added": 1, "updated": 1},
    ]


async def test_a_dry_run_writes_nothing(organisation: Organisation) -> None:
    """It counts what would happen, and nothing happens."""
    sheet = f"{HEADER}\n{CARD},王大明,男,a,b,,\n8,乙,女,a,b,,\n"
    report = await organisation.enrol(sheet, dry_run=True)
    assert (report.added, report.updated, report.written) == (1, 1, False)
    assert await count(organisation) == 3
    assert len(await organisation.events("members.imported")) == 1


async def test_nothing_is_half_imported(organisation: Organisation) -> None:
    """With one rejected line nothing is written, unless told to skip rejected lines."""
    sheet = f"{HEADER}\n8,乙,女,a,b,,\n9,丙,x,a,b,,\n"
    report = await organisation.enrol(sheet)
    assert (report.written, [r.line for r in report.rejected]) == (False, [3])
    assert await count(organisation) == 3
    report = await organisation.enrol(sheet, skip_rejected=True)
    assert (report.written, report.added) == (True, 1)
    assert await count(organisation) == 4


async def test_an_import_that_breaks_leaves_no_trace(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the last entry cannot be written, no member was."""

    async def full(*_: Any) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr(type(organisation.services.trail), "write", full)
    with pytest.raises(RuntimeError, match="disk full"):
        await organisation.enrol(f"{HEADER}\n8,乙,女,a,b,,\n")
    assert await count(organisation) == 3


async def test_many_lines_are_one_transaction(found: Any) -> None:
    """Some thousand members go in at once, whatever does not fill the last chunk included."""
    house: Organisation = await found()
    lines = "".join(f"{n:08},成員{n},男,a,b,,\n" for n in range(1_234))
    assert (await house.enrol(f"{HEADER}\n{lines}")).added == 1_234
    assert (await house.enrol(f"{HEADER}\n{lines}")).updated == 1_234
    assert await count(house) == 1_234
    member = await house.directory.by_card(house.services.database, "00001233")
    assert member and house.directory.record(member)["name"] == "成員1233"


async def test_personal_data_is_sealed(organisation: Organisation) -> None:
    """A look at the table shows card numbers, and neither names nor national IDs."""
    rows = await organisation.services.database.all(select(members))
    shown = repr([dict(row) for row in rows])
    assert CARD in shown
    for secret in (ALICE, "王小明", "ming@example.org", "某某大學"):
        assert secret not in shown


async def test_a_record_belongs_to_its_card(organisation: Organisation) -> None:
    """A sealed record under another card's number does not open."""
    database, directory = organisation.services.database, organisation.directory
    other = select(members.c.record_sealed).where(members.c.card_number == WORD_CARD)
    await database.run(
        update(members)
        .where(members.c.card_number == CARD)
        .values(record_sealed=other.scalar_subquery())
    )
    moved = await directory.by_card(database, CARD)
    assert moved
    with pytest.raises(VaultBroken):
        directory.record(moved)


@pytest.mark.parametrize("card", ["", "nobody", "07302590\0", "微卡", "x" * 5000, "\ud800"])
async def test_a_strange_card_is_nobody_s(organisation: Organisation, card: str) -> None:
    """No card number makes a database driver stumble."""
    assert await organisation.directory.by_card(organisation.services.database, card) is None


async def test_a_person_has_claims(organisation: Organisation) -> None:
    """A linked and valid member feeds the standard claims; nobody else does."""
    index = organisation.login.persons.index
    assert await organisation.directory.profile_of(index(ALICE)) == {
        "updated_at": organisation.clock.now(),
        "name": "王小明",
        "gender": "male",
        "email": "ming@example.org",
        "phone_number": "+886912345678",
        "email_verified": False,
        "phone_number_verified": False,
    }
    assert await organisation.directory.profile_of(index(BOB)) == {}


async def test_the_newest_card_speaks_for_a_person(organisation: Organisation) -> None:
    """Of several valid cards the one updated last is believed."""
    organisation.clock.at += 60
    await organisation.enrol(f"{HEADER}\n555,王新名,男,a,b,{ALICE},\n")
    index = organisation.login.persons.index(ALICE)
    assert await organisation.directory.profile_of(index) == {
        "name": "王新名",
        "gender": "male",
        "updated_at": organisation.clock.now(),
    }


async def test_a_code_is_spent_once(organisation: Organisation) -> None:
    """A hundred transactions want one code; the row count gives it to one."""
    database, vault = organisation.services.database, organisation.services.vault
    await database.write(lambda tx: codes.issue(tx, vault, CARD, "ABCDEFGHJKMN", 100, 700))

    async def spend() -> bool:
        return await database.write(
            lambda tx: codes.spend(tx, vault, CARD, "abcd efgh jkmn", 101)
        )  # fmt: skip

    assert sum(await asyncio.gather(*(spend() for _ in range(100)))) == 1


async def test_dead_codes_are_swept(organisation: Organisation) -> None:
    """Housekeeping removes expired codes, and only those."""
    database, vault = organisation.services.database, organisation.services.vault
    await database.write(lambda tx: codes.issue(tx, vault, CARD, "A", 100, 700))
    await database.write(lambda tx: codes.issue(tx, vault, CARD, "B", 100, 900))
    assert await sweep(database, codes.RETENTION, 800 + 86_400) == 1
    assert len(await database.all(select(binding_codes))) == 1


# ── commands ────────────────────────────────────────────────────────────────────────────────────


async def test_a_file_is_imported_and_listed(organisation: Organisation, tmp_path: Path) -> None:
    """What the operator sees in a list: every card, and names only to be recognised."""
    file = tmp_path / "members.csv"
    file.write_text(f"{HEADER}\n0009,丁一二,男,a,b,{BOB},\n", encoding="utf-8-sig")
    directory, now = organisation.directory, organisation.clock.now()
    report = await directory.import_file(file, numbers.canonical)
    assert report.added == 1
    listed = [described(directory, member, now) for member in await directory.page()]
    assert [m["card_number"] for m in listed] == ["0009", WORD_CARD, CARD, "99000001"]
    assert [m["valid"] for m in listed] == [True, True, True, False]
    assert listed[0]["name"] == "丁○二"
    assert await directory.page(after="99000001") == []


async def test_a_list_in_another_encoding_is_refused(
    organisation: Organisation, tmp_path: Path
) -> None:
    """A Big5 file is told to be UTF-8, not imported as rubbish."""
    file = tmp_path / "members.csv"
    file.write_bytes(f"{HEADER}\n0009,丁,男,a,b,,\n".encode("big5"))
    with pytest.raises(SheetRefused, match="UTF-8"):
        await organisation.directory.import_file(file, numbers.canonical)
