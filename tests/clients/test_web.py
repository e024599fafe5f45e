"""The pages of the programs in JavaScript name the versions that were run."""

from __future__ import annotations

import json
import re

import pytest

from tests.clients.blocks import Recipe
from tests.clients.lab import HERE

PINS: dict[str, str] = json.loads((HERE / "js" / "package.json").read_text())["dependencies"]
RUN = {f"{name} {version.rpartition('@')[2]}" for name, version in PINS.items()}
RUN |= {f"{version[4:].replace('@', ' ')}" for version in PINS.values() if version[:4] == "npm:"}
PAGES = ["authjs", "express-oauth2-jwt-bearer", "express-openid-connect", "jose"]
PAGES += ["oidc-client-ts", "openid-client-5", "openid-client-6", "passport-openidconnect"]


@pytest.mark.parametrize("page", PAGES)
def test_the_page_names_the_pinned_versions(page: str) -> None:
    """“Tried with” is what package.json pins."""
    told = re.findall(r"[\w@/-]+ \d+\.\d+\.\d+", Recipe(page).section("Tried with"))
    assert told
    assert set(told) <= RUN
