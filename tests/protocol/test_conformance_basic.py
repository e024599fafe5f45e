"""Modules of the certification suite's plans Basic and Form Post, by their official names."""

from __future__ import annotations

import pytest

from tests.actors import Browser, Service, log_in
from tests.asking import SQLITE

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
