"""The list of grants, which everything that names grant types follows."""

from __future__ import annotations

from typing import get_args

from idp.oidc.grants import GRANTS
from idp.registry.registration import GrantType


def test_a_client_can_be_registered_for_each_grant_and_no_other() -> None:
    """The register's words are those of the protocol's one list."""
    assert set(get_args(GrantType)) == set(GRANTS)
