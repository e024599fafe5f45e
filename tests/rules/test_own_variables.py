"""Variables that begin like settings and are none."""

from __future__ import annotations

import pytest

from idp.app import CONFIG_VARIABLE
from idp.kernel.settings import BadSettings, load
from idp.settings import Settings

FIDO = {
    "IDP_ISSUER": "https://id.test",
    "IDP_TWFIDO__BASE_URL": "https://fido.test",
    "IDP_TWFIDO__SYSCODE": "2" * 20,
    "IDP_TWFIDO__API_KEYS": "0" * 16 + "1" * 16,
}


@pytest.mark.parametrize("name", [CONFIG_VARIABLE, "IDP_CLIENT_SECRET"])
def test_our_own_variables_are_no_settings(name: str) -> None:
    """`idp serve` tells its workers the files, and `idp token` takes a secret, by environment."""
    assert load(Settings, environ={**FIDO, name: "x"}) == load(Settings, environ=FIDO)


def test_any_other_variable_is_a_fault() -> None:
    """A typing error in the environment refuses to start, with a guess what was meant."""
    with pytest.raises(BadSettings, match="did you mean issuer"):
        load(Settings, environ={**FIDO, "IDP_ISSUR": "https://id.test"})
