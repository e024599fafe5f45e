"""The WeCard callback: what is refused, all of it with the same bytes.

The rows WC-01 to WC-13 of the table of refusals.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from argon2 import PasswordHasher

from idp.members.settings import MembersSettings
from tests.wecard import (
    APP_KEY,
    CARD,
    REFUSED,
    WORD,
    WORD_CARD,
    Organisation,
    application,
    body,
    card_database,
    found,
    organisation,
    plaintext,
    sealed,
)

__all__ = ["card_database", "found", "organisation"]


async def untouched(house: Organisation) -> bool:
    """No failure counted, no code spent."""
    return await house.counted("card") == [] and await house.counted("card-source") == []


@pytest.mark.parametrize("to", ["codes", "words", "both"])
async def test_wc_01_a_wrong_password(organisation: Organisation, to: str) -> None:
    """WC-01: refused, one failure counted, the reason only in the audit trail."""
    answer = await organisation.ask(WORD_CARD, "wrong", to=to)
    assert (answer.status, answer.received) == (200, REFUSED)
    assert await organisation.counted("card") == [1]
    assert await organisation.reasons() == ["wrong code or password"]


async def test_wc_02_an_unknown_card(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WC-02: refused with the same bytes after the same argon2, counted for card and source."""
    verified: list[str] = []
    verify = PasswordHasher.verify

    def watched(hasher: PasswordHasher, hashed: str, password: str) -> bool:
        verified.append(password)
        return verify(hasher, hashed, password)

    monkeypatch.setattr(PasswordHasher, "verify", watched)
    unknown = await organisation.ask("nobody", "wrong", to="words")
    wrong = await organisation.ask(WORD_CARD, "wrong", to="words")
    assert unknown.received == wrong.received == REFUSED
    assert verified == ["wrong", "wrong"]
    assert await organisation.counted("card") == [1, 1]
    assert await organisation.counted("card-source") == [2]


async def test_the_stand_in_never_fits(organisation: Organisation) -> None:
    """Nobody's password is not a password: not even the stand-in's own opens anything."""
    for card in ("nobody", CARD):
        assert (await organisation.ask(card, "nobody", to="words")).received == REFUSED


async def test_wc_04_twenty_at_once(organisation: Organisation) -> None:
    """WC-04: of twenty parallel wrong tries exactly twenty are counted and five verified; then
    even the right code is refused, until fifteen minutes have passed."""
    code = await organisation.code()
    tries = [organisation.ask(CARD, f"wrong {n}") for n in range(20)]
    assert {answer.received for answer in await asyncio.gather(*tries)} == {REFUSED}
    assert await organisation.counted("card") == [20]
    reasons = await organisation.reasons()
    assert (reasons.count("wrong code or password"), reasons.count("locked")) == (5, 15)
    assert (await organisation.ask(CARD, code)).received == REFUSED
    assert await organisation.unspent() == 1
    organisation.clock.at += 900
    fresh = await organisation.code()
    assert (await organisation.ask(CARD, fresh)).answered


async def test_wc_04_twenty_passwords_at_once(organisation: Organisation) -> None:
    """WC-04 with directory passwords: the lock counts as exactly while argon2 is busy."""
    tries = [organisation.ask(WORD_CARD, f"wrong {n}", to="words") for n in range(20)]
    assert {answer.received for answer in await asyncio.gather(*tries)} == {REFUSED}
    assert await organisation.counted("card") == [20]
    assert (await organisation.reasons()).count("locked") == 15
    assert (await organisation.ask(WORD_CARD, WORD, to="words")).received == REFUSED


async def test_the_lock_is_the_person_s_over_every_application(organisation: Organisation) -> None:
    """Two cards of one person, two applications: one counter; another person is not locked."""
    for card, to in ((CARD, "codes"), ("99000001", "codes"), (CARD, "both")) * 2:
        await organisation.ask(card, "wrong", to=to)
    assert await organisation.counted("card") == [6]
    assert (await organisation.ask(CARD, await organisation.code())).received == REFUSED
    assert (await organisation.ask(WORD_CARD, WORD, to="words")).answered


async def test_success_forgets_the_failures(organisation: Organisation) -> None:
    """Four slips and a right code leave no counter behind."""
    for n in range(4):
        await organisation.ask(CARD, f"wrong {n}")
    assert (await organisation.ask(CARD, await organisation.code())).answered
    assert await organisation.counted("card") == []


@pytest.mark.parametrize("card", [CARD, "nobody7"])
async def test_wc_05_every_spelling_is_one_card(organisation: Organisation, card: str) -> None:
    """WC-05: blanks, full-width digits, zero-width marks and case do not reset the counter."""
    wide = "".join(chr(ord(c) + 0xFEE0) for c in card)
    spellings = [card, f" {card}", wide, card.upper(), card[:3] + "\u3000" + card[3:]]
    spellings += [card + "\u200b", card.title()]
    for spelling in spellings:
        assert (await organisation.ask(spelling, "wrong")).received == REFUSED
    assert await organisation.counted("card") == [len(spellings)]


@pytest.mark.parametrize(
    "raw_data",
    ["", "zz", "!" * 64, "abc", "ab" * 15, "ab" * 24, "ab" * 32, "QUJD", None, 1, ["ab"], {}],
    ids=str,
)
async def test_wc_07_no_ciphertext(organisation: Organisation, raw_data: Any) -> None:
    """WC-07: neither hex nor base64, odd, half a block, empty, no text: the same refusal."""
    answer = await organisation.post(body(raw_data))
    assert (answer.status_code, answer.text) == (200, REFUSED)
    assert await untouched(organisation)


async def test_wc_08_a_flipped_bit(organisation: Organisation) -> None:
    """WC-08: a bit flipped in any block breaks the strict JSON; nothing is spent or counted."""
    code = await organisation.code()
    good = bytes.fromhex(sealed(plaintext(CARD, code)))
    for block in range(0, len(good), 16):
        bent = bytearray(good)
        bent[block] ^= 0x80  # and 0x80 in the next block's plaintext: no ASCII any more
        answer = await organisation.post(body(bent.hex()))
        assert answer.text == REFUSED
    assert await untouched(organisation)
    assert await organisation.unspent() == 1
    assert (await organisation.ask(CARD, code)).answered


@pytest.mark.parametrize(
    "plain",
    [
        b'{"card_number":"073\x0002590","password":"x"}',
        b'{"card_number":"07302590","password":"x"}\0\0\0}',
        b'{"card_number":"07302590\\u0000","password":"x"}',
        b"\0" * 32,
    ],
)
async def test_wc_10_zeros_where_none_belong(organisation: Organisation, plain: bytes) -> None:
    """WC-10: a NUL inside, or anything behind the padding."""
    assert (await organisation.post(body(sealed(plain)))).text == REFUSED
    assert await untouched(organisation)


@pytest.mark.parametrize(
    "plain",
    [
        '{"card_number":"1","card_number":"07302590","password":"x"}',
        '{"card_number":7302590,"password":"x"}',
        '{"card_number":"07302590","password":0}',
        '{"card_number":"07302590","password":"x","y":NaN}',
        '{"card_number":"07302590","password":"\\ud83d"}',
        '{"card_number":"07302590","password":"x","y":' + "[" * 3000,
        "[" * 4000,
        '{"card_number":"07302590","password":"x","y":' + "9" * 3900 + "}",
        '{"card_number":"07302590","password":"' + "x" * 4096 + '"}',
    ],
    ids=lambda plain: str(plain)[:50],
)
async def test_wc_11_json_that_is_not_strict(organisation: Organisation, plain: str) -> None:
    """WC-11: duplicates, numbers for texts, NaN, lone surrogates, depth, size."""
    assert (await organisation.post(body(sealed(plain)))).text == REFUSED
    assert await untouched(organisation)


async def test_wc_11_a_deep_outer_body(organisation: Organisation) -> None:
    """WC-11 outside: what is not one strict object has no app_key that could be echoed."""
    for content in (b"[" * 15_000, b"", b"null", b"\xff", b'{"raw_data":"","raw_data":""}'):
        answer = await organisation.post(content)
        assert answer.json() == {"code": 1001, "message": "验证失败", "app_key": ""}


async def test_extra_keys_are_accepted(organisation: Organisation) -> None:
    """nonce_str, timestamp and sign beside the two texts do not disturb."""
    more = {"nonce_str": "n", "timestamp": 1_790_000_000, "sign": "s"}
    inner = {**json.loads(plaintext(CARD, await organisation.code())), **more}
    outer = {**json.loads(body(sealed(json.dumps(inner)))), **more}
    answer = await organisation.post(json.dumps(outer).encode())
    assert answer.json()["code"] == 0


async def test_wc_13_a_response_sent_back(organisation: Organisation) -> None:
    """WC-13: our own answer, sent as a request, is nobody's attempt."""
    answer = await organisation.ask(CARD, await organisation.code())
    raw_data = json.loads(answer.received)["raw_data"]
    assert (await organisation.post(body(raw_data))).text == REFUSED
    assert await untouched(organisation)


@pytest.mark.parametrize("app_key", ["0123456789ABCDEG", "", None, 5, "x" * 65, "微卡", "a\nb"])
async def test_a_wrong_app_key_learns_nothing(organisation: Organisation, app_key: Any) -> None:
    """Theirs comes back at most, never ours: an answer must not hand out the AES key."""
    code = await organisation.code()
    answer = await organisation.post(body(sealed(plaintext(CARD, code)), app_key))
    echo = app_key if app_key == "0123456789ABCDEG" else ""
    assert answer.json() == {"code": 1001, "message": "验证失败", "app_key": echo}
    assert APP_KEY not in answer.text
    assert await organisation.unspent() == 1


async def test_every_refusal_is_the_same_bytes_and_headers(organisation: Organisation) -> None:
    """Unknown, wrong, expired, locked, undecryptable: one answer, down to the headers."""
    await organisation.enrol(
        "card_number,name,gender,identity_type,organization,valid_from,valid_until\n"
        "501,甲,男,a,b,,2020-01-01\n502,乙,女,a,b,2099-01-01,\n"
    )
    bodies = [body(sealed(plaintext(card))) for card in ("nobody", CARD, "501", "502")]
    bodies += [body(sealed(plaintext(WORD_CARD, f"{n}"))) for n in range(6)] + [body("00")]
    answers = [await organisation.post(content, to="both") for content in bodies]
    assert {(a.status_code, a.text, str(a.headers)) for a in answers} == {
        (200, REFUSED, str(answers[0].headers))
    }
    assert set(await organisation.reasons()) == {
        "unknown card",
        "wrong code or password",
        "not valid",
        "locked",
        "unreadable: not whole blocks",
    }


async def test_the_refusal_is_the_organisation_s_to_word(found: Any) -> None:
    """Code and message of the refusal are configured; there is still only one."""
    own = application("codes", "binding_code", refusal_code=7, refusal_message="請洽圖書館")
    house = await found(MembersSettings.model_validate({"wecard": {"codes": own}}))
    answer = json.loads((await house.ask("nobody", "x")).received)
    assert answer == {"code": 7, "message": "請洽圖書館", "app_key": APP_KEY}
