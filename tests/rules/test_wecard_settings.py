"""What an operator may and may not configure for WeCard."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from idp.members.settings import MembersSettings, WeCardApplication

GOOD: dict[str, Any] = {
    "path": "Nk3cVq0dJx7pTtS1zBwR8g",
    "app_key": "0123456789ABCDEF",
    "app_secret": "FEDCBA9876543210",
    "allowed_sources": ["203.0.113.0/28"],
}


def members(**more: Any) -> MembersSettings:
    return MembersSettings.model_validate({"wecard": {"campus": {**GOOD, **more}}})


def test_the_defaults_are_the_careful_ones() -> None:
    """One-time codes, no optional field, nobody may call until somebody is named."""
    bare = WeCardApplication.model_validate({**GOOD, "allowed_sources": []})
    assert bare.takes_codes
    assert not bare.takes_passwords
    assert (bare.fields, bare.allowed_sources, bare.refusal_code) == ((), (), 1001)


@pytest.mark.parametrize(
    "wrong",
    [
        {"app_key": "short"},
        {"app_key": "0123456789ABCDEF\n"},
        {"app_key": "微" * 16},
        {"app_secret": "short"},
        {"app_secret": "微" * 16},
        {"path": "short"},
        {"path": "has/a/slash/inside"},
        {"path": "Nk3cVq0dJx7pTtS1zBwR8g\n"},
        {"allowed_sources": ["everybody"]},
        {"fields": ["password"]},
        {"credential": "none"},
        {"refusal_code": 0},
        {"refusal_message": ""},
        {"unknown": 1},
    ],
)
def test_what_cannot_work_refuses_to_start(wrong: dict[str, Any]) -> None:
    """A wrong key, path, network or field is a fault at start, not at the first card."""
    with pytest.raises(ValidationError):
        members(**wrong)


def test_two_applications_cannot_share_a_path() -> None:
    """One verification URL belongs to one application."""
    with pytest.raises(ValidationError, match="same path"):
        MembersSettings.model_validate({"wecard": {"a": GOOD, "b": GOOD}})


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"allowed_sources": []}, "wecard.campus.allowed_sources"),
        ({"allowed_sources": ["0.0.0.0/0"]}, "wecard.campus.allowed_sources"),
        ({"allowed_sources": ["::/0"]}, "wecard.campus.allowed_sources"),
        ({"path": "guessable"}, "wecard.campus.path"),
    ],
)
def test_production_asks_for_more(wrong: dict[str, Any], why: str) -> None:
    """Without a source list or with a guessable path it does not start in production."""
    assert members().production_faults() == []
    (fault,) = members(**wrong).production_faults()
    assert fault.startswith(why)


def test_secrets_are_not_shown() -> None:
    """Neither key nor secret appears when settings are printed."""
    shown = repr(members())
    assert GOOD["app_key"] not in shown
    assert GOOD["app_secret"] not in shown
