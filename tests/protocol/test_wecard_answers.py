"""The WeCard callback: what a good answer holds, and what a code is worth."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from sqlalchemy import bindparam, select, update

from idp.kernel.tables import members
from idp.members import codes, passwords
from tests.house import alarms
from tests.wecard import (
    ALICE,
    APP_KEY,
    CARD,
    REFUSED,
    TENCENT,
    WORD,
    WORD_CARD,
    Organisation,
    body,
    card_database,
    found,
    organisation,
    plaintext,
    sealed,
)

__all__ = ["card_database", "found", "organisation"]


@pytest.mark.parametrize("form", ["hex", "base64"])
@pytest.mark.parametrize("encoding", ["json", "form"])
async def test_a_code_opens_the_record_once(
    organisation: Organisation, form: Any, encoding: Any
) -> None:
    """A fresh code is answered with the record, in the form received; a second use is refused."""
    code = await organisation.code()
    first = await organisation.ask(CARD, code, form=form, encoding=encoding)
    assert first.answered == {
        "card_number": CARD,
        "name": "王小明",
        "gender": "男",
        "identity_type": "员工",
        "organization": "某某大學/資訊學院",
        "email": "ming@example.org",
    }
    received = json.loads(first.received)
    assert (received["code"], received["message"], received["app_key"]) == (0, "OK", APP_KEY)
    raw = received["raw_data"]
    assert bytes.fromhex(raw) if form == "hex" else base64.b64decode(raw, validate=True)
    assert (await organisation.ask(CARD, code)).received == REFUSED


async def test_wc_17_only_agreed_fields_leave_and_it_is_written_down(
    organisation: Organisation,
) -> None:
    """WC-17: no id_card, no telephone, nothing that was not agreed; one disclosure is audited."""
    answer = await organisation.ask(CARD, await organisation.code())
    assert answer.answered is not None
    assert answer.answered.keys().isdisjoint({"id_card", "card_type", "telephone"})
    (entry,) = await organisation.events("card.disclosed")
    assert entry["client_id"] == "wecard:codes"
    assert entry["address"] == TENCENT
    assert entry["person_id"]
    assert entry["detail"]["fields"] == sorted(answer.answered)


async def test_a_directory_password_opens_the_record(organisation: Organisation) -> None:
    """An application for directory passwords takes them again and again, and takes no codes."""
    for _ in range(2):
        answer = await organisation.ask(WORD_CARD, WORD, to="words")
        assert answer.answered and answer.answered["organization"] == "某某大學;校友會"
    code = await organisation.code()
    assert (await organisation.ask(CARD, code, to="words")).received == REFUSED


async def test_either_may_be_configured(organisation: Organisation) -> None:
    """An application for either takes codes and passwords; a Taiwanese number is of type 5."""
    assert (await organisation.ask(WORD_CARD, WORD, to="both")).answered
    answer = (await organisation.ask(CARD, await organisation.code(), to="both")).answered
    assert answer and (answer["card_type"], answer["id_card"]) == ("5", ALICE)


async def test_a_code_may_be_typed_carelessly(organisation: Organisation) -> None:
    """Lower case, no blanks, a full-width card number: a phone keyboard is no obstacle."""
    code = await organisation.code()
    answer = await organisation.ask("０７３０ 2590", code.replace(" ", "").lower())
    assert answer.answered and answer.answered["card_number"] == CARD


# ── codes ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_code_a_hundred_times_at_once(organisation: Organisation) -> None:
    """A hundred calls with one code: exactly one is answered, whatever the lock does."""
    code = await organisation.code()
    answers = await asyncio.gather(*(organisation.ask(CARD, code) for _ in range(100)))
    assert sum(answer.answered is not None for answer in answers) == 1
    assert len(await organisation.events("card.disclosed")) == 1


async def test_a_code_lives_ten_minutes(organisation: Organisation) -> None:
    """One second too late is too late."""
    code = await organisation.code()
    organisation.clock.at += 600
    assert (await organisation.ask(CARD, code)).received == REFUSED


async def test_a_code_belongs_to_its_card(organisation: Organisation) -> None:
    """A code does not open the card of somebody else."""
    assert (await organisation.ask(WORD_CARD, await organisation.code())).received == REFUSED
    assert await organisation.unspent() == 1


async def test_a_disabled_person_is_refused(organisation: Organisation) -> None:
    """Whom the operator disabled, no card answers for."""
    code = await organisation.code()
    persons = organisation.login.persons
    person = await persons.find(ALICE)
    assert person
    await organisation.services.database.write(
        lambda tx: persons.switch(tx, person.id, enabled=False)
    )
    assert (await organisation.ask(CARD, code)).received == REFUSED


async def test_an_expired_member_is_refused(organisation: Organisation) -> None:
    """A card whose validity has ended opens nothing, with the right password too."""
    sheet = "card_number,name,gender,identity_type,organization,valid_until,password_hash\n"
    hashed = passwords.hash_password(WORD)
    await organisation.enrol(f'{sheet}{WORD_CARD},陳美,女,用户,某某大學,2020-01-01,"{hashed}"\n')
    assert (await organisation.ask(WORD_CARD, WORD, to="words")).received == REFUSED
    assert await organisation.reasons() == ["not valid"]


# ── the same body again ─────────────────────────────────────────────────────────────────────────


async def test_the_same_body_is_alarmed(organisation: Organisation) -> None:
    """A body seen within 24 hours is counted and alarmed; a day later it is new again."""

    before = alarms("card_repeated")
    content = body(sealed(plaintext()))
    for _ in range(3):
        await organisation.post(content)
    assert await organisation.counted("card-body") == [3]
    assert len(await organisation.events("card.repeated")) == 2
    assert alarms("card_repeated") == before + 2
    organisation.clock.at += 86_400
    await organisation.post(content)
    assert len(await organisation.events("card.repeated")) == 2


async def test_guessing_from_one_source_is_alarmed(organisation: Organisation) -> None:
    """A hundred refusals from one address raise an alarm, and lock nobody out."""
    for n in range(101):
        await organisation.ask(f"nobody {n}", "x")
    assert len(await organisation.events("card.guessing")) == 1
    assert (await organisation.ask(CARD, await organisation.code())).answered


# ── when something is broken ────────────────────────────────────────────────────────────────────


async def test_without_a_store_nothing_is_answered(organisation: Organisation) -> None:
    """The store is away: 503, never a yes and never a free guess."""
    await organisation.services.database.close()
    answer = await organisation.ask(CARD, "x")
    assert answer.status == 503
    assert "code" not in answer.received


async def test_a_broken_record_is_not_disclosed(organisation: Organisation) -> None:
    """A record that was moved to another card's row opens for nobody, and spends no code."""
    database = organisation.services.database
    row = await database.one(select(members).where(members.c.card_number == WORD_CARD))
    assert row
    moved = update(members).where(members.c.card_number == bindparam("card")).values(
        record_sealed=bindparam("sealed"), number_index=bindparam("index")
    )  # fmt: skip
    code = await organisation.code()
    await database.write(
        lambda tx: tx.run(
            moved,
            card=CARD,
            sealed=row["record_sealed"],
            index=organisation.login.persons.index(ALICE),
        )
    )
    assert (await organisation.ask(CARD, code)).received == REFUSED
    assert await organisation.reasons() == ["record broken"]
    assert await organisation.unspent() == 1


async def test_nothing_secret_is_kept(organisation: Organisation) -> None:
    """Neither raw_data, code, password, card, name nor number is in audit trail or counters."""
    code = await organisation.code()
    wrong = await organisation.ask(CARD, "wrong-password")
    right = await organisation.ask(CARD, code)
    kept = await organisation.everything()
    secrets = [code, codes.canonical(code), "wrong-password", CARD, "王", ALICE, APP_KEY]
    secrets += [wrong.sent["raw_data"], right.sent["raw_data"], TENCENT]
    assert [secret for secret in secrets if secret in kept] == []
