"""What an operator may and may not configure."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from idp.verify.twfido.checksum import SAMPLE_KEYS
from idp.verify.twfido.settings import TwFidoSettings
from tests.rules.twfido_upstream import KEY, OLD_KEY, SYSCODE, settings

REFUSED: list[dict[str, Any]] = [
    {"base_url": "ftp://upstream.test"},
    {"base_url": "upstream.test"},
    {"base_url": "https://me:pw@upstream.test"},
    {"base_url": "https://upstream.test/?x=1"},
    {"syscode": SYSCODE + "\n"},
    {"syscode": SYSCODE[1:]},
    {"syscode": "２" + SYSCODE[1:]},
    {"api_keys": ()},
    {"api_keys": (KEY, OLD_KEY, KEY)},
    {"api_keys": (KEY[:16] * 2,)},
    {"methods": ("qr", "fax")},
    {"methods": ("qr", "qr")},
    {"opens_with": {"dongle": "FWEB-01"}},
    {"opens_with": {"qr": "FATH-02"}},
    {"paths": {"fath_02": "no-slash"}},
    {"paths": {"fath_03": "/x"}},
    {"qr_template": "{pid}"},
    {"qr_template": "{qrid.__class__}"},
    {"qr_template": "{qrid!r}"},
    {"qr_template": "{}"},
    {"qr_template": "{qrid"},
    {"app_link": "javascript:{content}"},
    {"app_link": "data:text/html,{content}"},
    {"app_link": "http://app.test/{content}"},
    {"app_link": "tw.gov.app:"},
    {"app_link": "tw.gov.app:{content}{content}"},
    {"app_link": "{content}:x"},
    {"app_link": "tw.gov.app:{content}&x={name}"},
    {"app_link": 'tw.gov.app:"{content}'},
    {"app_link": "tw.gov.app: {content}"},
    {"app_link": "TW.gov.app:{content}"},
    {"callback_peers": ("117.56.7.69/33",)},
    {"callback_checksum_fields": ("msg",)},
    {"reg01_checksum_fields": ()},
    {"surprise": 1},
]


@pytest.mark.parametrize("changes", REFUSED, ids=str)
def test_refused_settings(changes: dict[str, Any]) -> None:
    """A setting that cannot be meant refuses to start; above all none raises a method's level."""
    with pytest.raises(ValidationError):
        settings(**changes)


@pytest.mark.parametrize(
    "keys", [(KEY, OLD_KEY), [KEY, OLD_KEY], f"{KEY}\n{OLD_KEY}\n", f"{KEY}, {OLD_KEY}"]
)
def test_keys_as_a_list_or_from_a_secret_file(keys: Any) -> None:
    """Two keys may stand in a list or in the one text of a secret file, the newest first."""
    assert settings(api_keys=keys).own_system.keys == (KEY, OLD_KEY)


def test_defaults() -> None:
    """Paths, methods and limits have readable defaults, and browsers go where the server calls."""
    made = settings(base_url="https://upstream.test/")
    assert made.browser_url == "https://upstream.test"
    assert made.paths.of("QUE-02") == "/rp-api-que-02"
    assert (made.connect_timeout, made.read_timeout, made.total_timeout) == (2, 5, 8)
    assert made.opens_with.qr == "FEXCH-01"
    assert made.strict_echo


def test_secrets_stay_secret() -> None:
    """Neither the settings nor the system show a key when they are printed."""
    made = settings()
    assert KEY not in repr(made) + str(made) + repr(made.own_system)


def test_production_faults() -> None:
    """Production refuses the key that is printed in the slides, and http."""
    assert settings().production_faults() == []
    public = settings(base_url="http://localhost:8100", api_keys=(KEY, *SAMPLE_KEYS))
    assert len(public.production_faults()) == 3


def test_every_setting_is_described() -> None:
    """The manual's table is made from the descriptions: none is missing."""

    def check(model: type[BaseModel]) -> None:
        for name, field in model.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                check(inner)
            else:
                assert field.description, name

    check(TwFidoSettings)
