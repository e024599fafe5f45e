"""What goes out of a member's record, and the one spelling of a card number."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.cli.common import when
from idp.kernel.clock import moment
from idp.kernel.text import LEGIBLE
from idp.members import codes
from idp.members.record import (
    PROFILE,
    answer,
    canonical_card,
    claims,
    international,
    mask_name,
    read,
    show_time,
)
from idp.members.record import RECORD as COLUMNS
from idp.members.settings import OPTIONAL, WeCardApplication
from idp.oidc.scopes import CLAIMS

RECORD = {
    "card_number": "0730a",
    "name": "王小明",
    "gender": "男",
    "identity_type": "職員",
    "organization": "某某大學/資訊學院;校友會",
    "card_type": "1",
    "id_card": "A123456789",
    "email": "ming@example.org",
    "telephone": "+886912345678",
    "head_image": "https://img.example/1.png",
}


def app(**more: Any) -> WeCardApplication:
    given = {"path": "x" * 22, "app_key": "k" * 16, "app_secret": "s" * 16, **more}
    return WeCardApplication.model_validate(given)


def test_only_the_required_five_go_out_by_default() -> None:
    """An application that agreed on nothing gets the five fields WeCard needs, and no other."""
    assert answer(RECORD, None, 1, app()) == {
        "card_number": "0730a",
        "name": "王小明",
        "gender": "男",
        "identity_type": "其他",
        "organization": "某某大學/資訊學院;校友會",
    }


STRANGE_TIMES = [-62135625600, -(2**63), 2**63 - 1, 253402271999, 253402300800, 0, -1]


@pytest.mark.parametrize("at", STRANGE_TIMES)
def test_a_stored_time_is_always_shown(at: int) -> None:
    """Whatever an import of before wrote, no answer, page or command fails at it."""
    shown = answer(RECORD, at, at, app(fields=["start_time", "expire_at"]))
    for text in (shown["start_time"], shown["expire_at"], show_time(at)):
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", text)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", moment(at)["text"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moment(at)["iso"])
    assert when(at).endswith("Z")


def test_a_record_of_tomorrow_is_read() -> None:
    """A newer version stores a field more or fewer: unknown ones are left out, missing ones are
    empty."""
    record = read('{"card_number": "1", "name": "王", "future": {"a": 1}}')
    assert answer(record, None, None, app(fields=["email"])) == {
        "card_number": "1", "name": "王", "gender": "", "identity_type": "其他",
        "organization": "",
    }  # fmt: skip


def test_the_identity_type_has_its_name_at_wecard() -> None:
    """The directory's own word becomes the configured name; an unknown one falls to the default."""
    known = app(identity_types={"職員": "员工"}, identity_type_default="用户")
    assert answer(RECORD, None, None, known)["identity_type"] == "员工"
    guest = {**RECORD, "identity_type": "訪客"}
    assert answer(guest, None, None, known)["identity_type"] == "用户"


@pytest.mark.parametrize(
    "number",
    ["A123456789", "a123456789", "Ａ１２３４５６７８９", "A 123456789", "AB23456789", "1234567890"],
)
def test_a_taiwanese_number_is_never_a_mainland_card(number: str) -> None:
    """card_type 1 beside a number that is not a mainland one goes out as 5, "other"."""
    wanted = app(fields=["card_type", "id_card"])
    fields = answer({**RECORD, "id_card": number}, None, None, wanted)
    assert (fields["card_type"], fields["id_card"]) == ("5", number)


@pytest.mark.parametrize("number", ["11010519491231002X", "110105491231002"])
def test_a_mainland_number_keeps_its_type(number: str) -> None:
    """card_type 1 stays where the number is of the mainland's form."""
    wanted = app(fields=["card_type", "id_card"])
    assert answer({**RECORD, "id_card": number}, None, None, wanted)["card_type"] == "1"


def test_times_are_of_shanghai_under_the_configured_name() -> None:
    """Validity goes out as YYYY-MM-DD HH:MM:SS, eight hours ahead of UTC."""
    wanted = app(fields=["start_time", "expire_at"], expire_field="expire_time")
    fields = answer(RECORD, 0, 1_767_196_799, wanted)
    assert fields["start_time"] == "1970-01-01 08:00:00"
    assert fields["expire_time"] == "2025-12-31 23:59:59"
    assert "expire_at" not in fields


def test_a_picture_goes_out_by_https_only() -> None:
    """A head_image that everybody on the way could exchange is left out."""
    wanted = app(fields=["head_image"])
    assert answer(RECORD, None, None, wanted)["head_image"] == "https://img.example/1.png"
    plain = {**RECORD, "head_image": "http://img.example/1.png"}
    assert "head_image" not in answer(plain, None, None, wanted)


@given(st.lists(st.sampled_from(OPTIONAL), unique=True))
def test_nothing_goes_out_that_was_not_agreed(fields: list[str]) -> None:
    """Whatever the record holds, the answer has the required and the agreed fields only."""
    required = {"card_number", "name", "gender", "identity_type", "organization"}
    assert answer(RECORD, 1, 2, app(fields=fields)).keys() <= required | set(fields)


def test_claims_are_the_openid_names() -> None:
    """A member's record becomes the standard claims, unknown ones left out."""
    assert claims(RECORD, 7) == {
        "updated_at": 7,
        "name": "王小明",
        "gender": "male",
        "email": "ming@example.org",
        "phone_number": "+886912345678",
        "email_verified": False,
        "phone_number_verified": False,
    }
    few = claims({"name": "陳美", "gender": "女"}, 7)
    assert few == {"name": "陳美", "gender": "female", "updated_at": 7}


def test_every_standard_claim_has_a_column() -> None:
    """OpenID Connect Core §5.1: the directory can hold all of profile and address."""
    whole = {name: f"x{name}" for name in COLUMNS}
    found = claims({**whole, "gender": "男"}, 7)
    from_elsewhere = {"sub", "twid", "twid_masked"}
    for scope in ("profile", "email", "phone", "address"):
        assert set(CLAIMS[scope]) - from_elsewhere <= found.keys()
    assert found["address"] == {
        "formatted": "xaddress", "street_address": "xstreet_address", "locality": "xlocality",
        "region": "xregion", "postal_code": "xpostal_code", "country": "xaddress_country",
    }  # fmt: skip


def test_what_only_wecard_is_told_is_no_claim() -> None:
    """A photograph and a nationality imported for WeCard are not picture and address."""
    found = claims({**RECORD, "country": "TWN"}, 7)
    assert not found.keys() & {"picture", "address"}


def test_wecard_is_told_no_claim() -> None:
    """What the directory holds for OpenID Connect stays out of every answer to WeCard."""
    told = answer(dict.fromkeys(COLUMNS, "x"), 1, 2, app(fields=OPTIONAL))
    assert not told.keys() & {*PROFILE, "street_address", "postal_code", "address_country"}


NUMBERS = {
    "0912345678": "+886912345678",
    "0912-345-678": "+886912345678",
    "(02) 2345-6789": "+886223456789",
    "02-23456789#123": "+886223456789;ext=123",
    "02 2345 6789 分機 12": "+886223456789;ext=12",
    "+886 2 2345 6789": "+886223456789",
    "+886(0)912345678": "+886912345678",
    "+81 90 1234 5678": "+81 90 1234 5678",
    "1922": "1922",
    "call the desk": "call the desk",
    "": "",
}


@pytest.mark.parametrize(("written", "told"), NUMBERS.items(), ids=NUMBERS)
def test_telephone_numbers_are_told_as_e164(written: str, told: str) -> None:
    """OpenID Connect Core §5.1: E.164 and RFC 3966's extension; what we cannot read stays."""
    assert international(written) == told


@pytest.mark.parametrize(
    "typed",
    ["ab0730", " AB0730 ", "ＡＢ０７３０", "a b\u30000\t730", "\u200bab07\ufeff30", "AB\u00a00730"],
)
def test_every_spelling_of_a_card_is_one_card(typed: str) -> None:
    """Blanks, full-width, zero-width and lower case make no other card."""
    assert canonical_card(typed) == "AB0730"


@given(st.from_regex(r"\A[!-~]{1,64}\Z"))
def test_the_canonical_spelling_is_final(card: str) -> None:
    """A card number as it is stored is found again by what is stored."""
    stored = canonical_card(card)
    assert canonical_card(stored) == stored
    assert canonical_card("0" + card) == "0" + stored


def test_a_code_survives_its_way_to_the_phone() -> None:
    """Twelve unambiguous characters in groups of four, however they are typed."""
    code = codes.new()
    assert len(code) == 12
    assert set(code) <= set(LEGIBLE)
    assert not set("0O1IL") & set(LEGIBLE)
    assert len(codes.grouped(code).split()) == 3
    for typed in (codes.grouped(code), code.lower(), "-".join(code), f" {code}\u3000"):
        assert codes.canonical(typed) == code


def test_a_name_is_masked_for_the_screen() -> None:
    """A shown name is enough for its owner and too little for the neighbour."""
    assert [mask_name(n) for n in ("王小明", "陳美", "A", "歐陽大明")] == [
        "王○明",
        "陳○",
        "A",
        "歐○○明",
    ]
    assert show_time(1_790_000_000) == "2026-09-21 22:13:20"
