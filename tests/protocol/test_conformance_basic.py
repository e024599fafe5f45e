"""Modules of the certification suite's plans Basic and Form Post, by their official names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.actors import Browser, Service, log_in
from tests.asking import SQLITE
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
card_number,name,gender,identity_type,organization,email,telephone,national_id
07302590,王小明,男,用户,國家圖書館,ming@example.gov.tw,02-2345-6789,A100000010
"""
SCOPES: dict[str, dict[str, object]] = {
    "email": {"email": "ming@example.gov.tw", "email_verified": False},
    "phone": {"phone_number": "+886223456789", "phone_number_verified": False},
}


@pytest.mark.parametrize("scope", SCOPES)
async def test_oidcc_scope_email_and_oidcc_scope_phone(
    house: TestHouse, service: Service, scope: str, tmp_path: Path
) -> None:
    """OpenID Connect Core §5.4: each scope returns all its claims, those on verification too."""
    sheet = tmp_path / "members.csv"
    sheet.write_text(MEMBER, encoding="utf-8")
    await house.house.directory.import_file(sheet, house.house.login.canonical)
    tokens = await (await allow(service, scope=f"openid {scope}")).tokens()
    answer = (await service.userinfo(tokens["access_token"])).json()
    del answer["sub"]
    assert answer == SCOPES[scope]
