"""Modules of the certification suite's plans Basic and Form Post, by their official names."""

from __future__ import annotations

from pathlib import Path

import pytest

from idp.kernel.clock import moment
from idp.kernel.tables import history
from tests.actors import Browser, Service, log_in, verify
from tests.asking import SQLITE, another, rows
from tests.deeds import allow
from tests.house import TestHouse

pytestmark = SQLITE


@pytest.mark.parametrize(
    "changed_settings", [{"oidc": {"require_nonce": False}}], ids=["certified"]
)
async def test_oidcc_ensure_request_without_nonce_succeeds_for_code_flow(
    browser: Browser, service: Service
) -> None:
    """OpenID Connect Core §3.1.2.1: where the operator permits it, the code flow needs no nonce."""
    page = await log_in(
        browser, service, code_challenge=None, code_challenge_method=None, nonce=None
    )
    answer = await service.redeem(page, code_verifier=None)
    assert "nonce" not in await service.verified(answer.json()["id_token"])


MEMBER = """\
card_number,name,gender,identity_type,organization,email,telephone,national_id,\
family_name,given_name,middle_name,nickname,preferred_username,profile,picture,website,birthdate,\
zoneinfo,locale,address,street_address,locality,region,postal_code,address_country
07302590,王小明,男,用户,國家圖書館,ming@example.gov.tw,02-2345-6789,A100000010,\
王,小明,文,阿明,ming,https://p.test/ming,https://p.test/ming.png,http://ming.test,1990-02-28,\
Asia/Taipei,zh-TW,100201 臺北市中正區中山南路20號,中山南路20號,中正區,臺北市,100201,臺灣
"""
ADDRESS: dict[str, object] = {
    "formatted": "100201 臺北市中正區中山南路20號",
    "street_address": "中山南路20號",
    "locality": "中正區",
    "region": "臺北市",
    "postal_code": "100201",
    "country": "臺灣",
}
SCOPES: dict[str, dict[str, object]] = {
    "profile": {
        "name": "王小明",
        "family_name": "王",
        "given_name": "小明",
        "middle_name": "文",
        "nickname": "阿明",
        "preferred_username": "ming",
        "profile": "https://p.test/ming",
        "picture": "https://p.test/ming.png",
        "website": "http://ming.test",
        "gender": "male",
        "birthdate": "1990-02-28",
        "zoneinfo": "Asia/Taipei",
        "locale": "zh-TW",
        "twid_masked": "A1****0010",
    },
    "address": {"address": ADDRESS},
    "email": {"email": "ming@example.gov.tw", "email_verified": False},
    "phone": {"phone_number": "+886223456789", "phone_number_verified": False},
}


@pytest.mark.parametrize("scope", SCOPES)
async def test_oidcc_scopes(house: TestHouse, service: Service, scope: str, tmp_path: Path) -> None:
    """OpenID Connect Core §5.4: each scope returns all its claims, those on verification too."""
    now = await _known(house, tmp_path)
    service = await another(house, "all")
    tokens = await (await allow(service, scope=f"openid {scope}")).tokens()
    answer = (await service.userinfo(tokens["access_token"])).json()
    del answer["sub"]
    assert answer == SCOPES[scope] | ({"updated_at": now} if scope == "profile" else {})


async def test_oidcc_scope_all(house: TestHouse, tmp_path: Path) -> None:
    """OpenID Connect Core §5.4: all scopes at once; the consent page shows the claims as a person
    reads them, and the person's record names what was given."""
    now = await _known(house, tmp_path)
    service = await another(house, "all")
    browser = Browser(house)
    await browser.open(service.url(scope=f"openid {' '.join(SCOPES)}"))
    page = await verify(browser)
    assert page.texts["claim-address"] == ", ".join(map(str, ADDRESS.values()))
    assert page.texts["claim-updated_at"] == moment(now)["text"]
    answer = await service.redeem(await browser.press("allow"))
    given = (await service.userinfo(answer.json()["access_token"])).json()
    expected = {name: value for claims in SCOPES.values() for name, value in claims.items()}
    assert given.pop("sub")
    assert given == expected | {"updated_at": now}
    (line,) = await rows(house, history)
    told = {*line["claims"].split(), "email_verified", "phone_number_verified"}
    assert told == given.keys()


async def _known(house: TestHouse, folder: Path) -> int:
    """When a member with every claim was imported."""
    sheet = folder / "members.csv"
    sheet.write_text(MEMBER, encoding="utf-8")
    now = house.clock.now()
    await house.house.directory.import_file(sheet, house.house.login.canonical)
    return now


@pytest.mark.parametrize(
    "params",
    [
        {"claims_locales": "en zh-TW"},
        *({"display": display} for display in ("page", "popup", "touch", "wap", "tv")),
    ],
)
async def test_oidcc_display_and_claims_locales(
    browser: Browser, service: Service, params: dict[str, str]
) -> None:
    """OpenID Connect Core §3.1.2.1, §15.1: no value of these makes a login fail."""
    page = await log_in(browser, service, **params)
    assert "id_token" in (await service.redeem(page)).json()
