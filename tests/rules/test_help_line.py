"""The help line, as an operator writes it, and as a phone dials it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from idp.kernel.settings import BrandSettings
from idp.kernel.templates import Templates


@pytest.mark.parametrize(
    ("written", "dialled"),
    [
        ("(02) 2361-9132", "tel:0223619132"),
        ("0800-000-000", "tel:0800000000"),
        ("+886 2 2361-9132", "tel:+886223619132"),
        ("02-2361-9132 轉 305", "tel:0223619132;ext=305"),
        ("02-2361-9132 分機305", "tel:0223619132;ext=305"),
        ("02-2361-9132 ext. 305", "tel:0223619132;ext=305"),
        ("02-2361-9132#305", "tel:0223619132;ext=305"),
        ('1" onclick="x', "tel:1"),
    ],
)
def test_what_is_dialled(written: str, dialled: str) -> None:
    """RFC 3966 §3: the digits, and an extension apart; nothing else of what was written."""
    page = Templates(BrandSettings(help_phone=written)).render(
        "account/left.html", "zh-TW", done="not-me", start="/account", reference="x", here=""
    )
    assert page.count(f'href="{dialled}"') == 2


def test_a_help_line_without_a_number() -> None:
    """A link that calls nobody is refused when the settings are read."""
    with pytest.raises(ValidationError):
        BrandSettings(help_phone="請洽服務台")
