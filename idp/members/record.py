"""What we know of a member, and how much of it goes out. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from idp.kernel.clock import TAIPEI, calendar
from idp.kernel.text import bare
from idp.members.settings import OPTIONAL, WeCardApplication

REQUIRED = ("card_number", "name", "gender", "identity_type", "organization")
TIMES = ("start_time", "expire_at")  # made from the validity of the member
PROFILE = (  # claims of OpenID Connect Core §5.1, under their own names
    *("family_name", "given_name", "middle_name", "nickname", "preferred_username"),
    *("profile", "picture", "website", "birthdate", "zoneinfo", "locale"),
)
ADDRESS = {  # members of the claim `address` (OpenID Connect Core §5.1.1), and their columns
    "formatted": "address",
    "street_address": "street_address",
    "locality": "locality",
    "region": "region",
    "postal_code": "postal_code",
    "country": "address_country",
}
_PLACE = tuple(name for name in ADDRESS.values() if name not in OPTIONAL)
_ANSWERED = tuple(name for name in OPTIONAL if name not in TIMES)
RECORD = REQUIRED + _ANSWERED + PROFILE + _PLACE  # what is sealed

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
CARD = re.compile(r"\A[!-~]{1,64}\Z", re.ASCII)
_MAINLAND = re.compile(r"\A(?:[0-9*]{15}|[0-9*]{17}[0-9Xx*])\Z", re.ASCII)  # or masked
_CARD_TYPE_MAINLAND, _CARD_TYPE_OTHER = "1", "5"
_GENDERS = {"男": "male", "女": "female"}
_CLAIMS = {
    **{name: name for name in ("name", "email", *PROFILE)},
    "phone_number": "telephone",
}
_VERIFIABLE = ("email", "phone_number")
_PUNCTUATION = re.compile(r"[\s().-]")
_TAIWAN = re.compile(
    r"\A(?:\+?8860?|0)([2-9][0-9]{7,8})(?:(?:#|ext|分機)([0-9]{1,6}))?\Z", re.ASCII
)


def read(document: str) -> dict[str, str]:
    """A stored record. What is missing is empty; what is not known here is left out."""
    found = json.loads(document)
    return {n: str(found.get(n, "")) for n in RECORD if n in REQUIRED or n in found}


def canonical_card(typed: str) -> str:
    """One spelling of a card number: full-width, blanks, zero-width marks and lower case do not
    make another card, or guessing would be free of charge under every spelling."""
    return bare(typed).upper()


def mask_name(name: str) -> str:
    """王小明 → 王○明, Ann → A○n: enough for its owner to recognise."""
    if len(name) <= 2:
        return name[:1] + "○" * (len(name) - 1)
    return name[0] + "○" * (len(name) - 2) + name[-1]


def answer(
    record: Mapping[str, str],
    valid_from: int | None,
    valid_until: int | None,
    application: WeCardApplication,
) -> dict[str, str]:
    """The fields that this application agreed on, empty ones left out."""
    known = {**record, **_times(valid_from, valid_until)}
    known["identity_type"] = application.identity_types.get(
        record["identity_type"], application.identity_type_default
    )
    known["card_type"] = _card_type(record)
    if not known.get("head_image", "").startswith("https://"):
        known.pop("head_image", None)
    chosen = {name: known.get(name, "") for name in (*REQUIRED, *application.fields)}
    if "expire_at" in chosen:
        chosen[application.expire_field] = chosen.pop("expire_at")
    return {name: value for name, value in chosen.items() if value or name in REQUIRED}


def _card_type(record: Mapping[str, str]) -> str:
    """A number that has not the form of a 身份证 of the mainland is not one, whatever the list
    says: Taiwanese, passport, masked or not."""
    kind, number = record.get("card_type", ""), record.get("id_card", "")
    if kind == _CARD_TYPE_MAINLAND and number and not _MAINLAND.match(number):
        return _CARD_TYPE_OTHER
    return kind


def _times(valid_from: int | None, valid_until: int | None) -> dict[str, str]:
    moments = {"start_time": valid_from, "expire_at": valid_until}
    return {name: show_time(at) for name, at in moments.items() if at is not None}


def show_time(at: int) -> str:
    """UTC seconds → YYYY-MM-DD HH:MM:SS in Taipei, which is also the time of Shanghai."""
    return calendar(at, TAIPEI).isoformat(" ", "seconds")[:19]


def claims(record: Mapping[str, str], updated_at: int) -> dict[str, object]:
    """The standard claims of OpenID Connect Core §5.1, as far as known. The organisation wrote
    addresses and numbers down; nobody here has verified them."""
    found: dict[str, Any] = {claim: record.get(name, "") for claim, name in _CLAIMS.items()}
    found["gender"] = _GENDERS.get(record.get("gender", ""), "")
    found["phone_number"] = international(found["phone_number"])
    address = {part: record.get(column, "") for part, column in ADDRESS.items()}
    found["address"] = {part: value for part, value in address.items() if value}
    known = {claim: value for claim, value in found.items() if value} | {"updated_at": updated_at}
    return known | {f"{claim}_verified": False for claim in _VERIFIABLE if claim in known}


def international(number: str) -> str:
    """E.164, as Core §5.1 recommends, with the extension of RFC 3966 §5.3. What is no number of
    Taiwan stays as it was written."""
    match = _TAIWAN.match(_PUNCTUATION.sub("", number))
    if match is None:
        return number
    extension = f";ext={match[2]}" if match[2] else ""
    return f"+886{match[1]}{extension}"
