"""What the pages call the app on the phone."""

from __future__ import annotations

import pytest

from tests.actors import Browser, Service
from tests.house import running, settings_for

THEIRS = {"app_name": "城市卡", "app_name_en": "City card", "register_url": "https://card.test/"}


@pytest.mark.parametrize(
    ("brand", "expected"),
    [
        ({}, ("行動自然人憑證", "TW FidO", "https://fido.moi.gov.tw")),
        (THEIRS, ("城市卡", "City card", "https://card.test/")),
        ({"app_name": "城市卡"}, ("城市卡", "TW FidO", "https://fido.moi.gov.tw")),
    ],
    ids=["the scheme's", "the agency's", "in Chinese only"],
)
async def test_the_agencys_words_come_first(
    database_url: str, brand: dict[str, str], expected: tuple[str, str, str]
) -> None:
    """The scheme names its app; an agency may call it otherwise, in one language or both, and say
    itself where to register."""
    name, english, address = expected
    async with running(settings_for(database_url, brand=brand)) as house:
        browser = Browser(house)
        page = await browser.open(Service(house, await house.register("service")).url())
        assert name in page.html
        assert f'href="{address}"' in page.html
        page = await browser.open(f"{page.url}?lang=en")
        assert english in page.html
        assert f'href="{address}"' in page.html
