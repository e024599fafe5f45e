"""What an operator may and may not configure about the SP-API."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from idp.verify.spapi.settings import APP_LINK, SpApiSettings
from tests.rules.certificates import certificate, pem
from tests.rules.spapi_upstream import KEY, OLD_KEY, SERVICE, settings

SAMPLE = base64.b64encode(bytes(range(32))).decode()


REFUSED: list[dict[str, Any]] = [
    {"api_url": "ftp://upstream.test"},
    {"api_url": "https://me:pw@upstream.test"},
    {"web_url": "upstream.test"},
    {"sp_service_id": ""},
    {"sp_service_id": "a b"},
    {"sp_service_id": "0A12345678"},
    {"sp_service_id": SERVICE + "\n"},
    {"keys": ()},
    {"keys": (KEY, OLD_KEY, KEY)},
    {"keys": ("AAAA",)},
    {"methods": ("qr", "dongle")},
    {"methods": ("qr", "qr")},
    {"time_limit": 29},
    {"time_limit": 601},
    {"poll_seconds": 3},
    {"hint": ""},
    {"hint": "a\nb"},
    {"qr_op_mode": "PUSH"},
    {"sign_type": "RAW"},
    {"app_link": "javascript:{sp_ticket}"},
    {"app_link": "http://app.test/{sp_ticket}"},
    {"app_link": "app://x"},
    {"app_link": "app://{sp_ticket}{sp_ticket}"},
    {"app_link": "app://{sp_ticket}{id_num}"},
    {"app_link": 'app://"{sp_ticket}'},
    {"app_link": "app://{sp_ticket"},
    {"signed_response": "require"},
    {"issuing_certificates": "nowhere.pem"},
    {"paths": {"ath_02": "no-slash"}},
    {"paths": {"ath_04": "/x"}},
    {"surprise": 1},
]


@pytest.mark.parametrize("changes", REFUSED, ids=str)
def test_refused_settings(changes: dict[str, Any]) -> None:
    """A setting that cannot be meant refuses to start; an sp_service_id that would let our own
    signature read as the ministry's is one of them."""
    with pytest.raises(ValidationError):
        settings(**changes)


def test_defaults() -> None:
    """What is not publicly known has a readable default, and browsers go where the server calls."""
    made = settings(api_url="https://upstream.test/")
    assert made.browser_url == "https://upstream.test"
    assert made.paths.of("ATH-02") == "/moise/sp/getAthOrSignResult"
    assert (made.time_limit, made.poll_seconds, made.app_link) == (180, 4, APP_LINK)
    assert made.issuers() == ()


@pytest.mark.parametrize("keys", [(KEY, OLD_KEY), f"{KEY}\n{OLD_KEY}\n", f"{KEY}, {OLD_KEY}"])
def test_keys_as_a_list_or_from_a_secret_file(keys: Any) -> None:
    """Two keys may stand in a list or in the one text of a secret file, the newest first."""
    assert settings(keys=keys).own_service.keys == (KEY, OLD_KEY)


def test_secrets_stay_secret() -> None:
    """Neither the settings nor the service show a key when they are printed."""
    made = settings()
    assert KEY not in repr(made) + str(made) + repr(made.own_service)


def test_production_faults() -> None:
    """Production refuses the key that is printed in public, and http."""
    assert settings().production_faults() == []
    public = settings(api_url="http://localhost:8100", keys=(KEY, SAMPLE))
    assert len(public.production_faults()) == 3


def test_issuing_certificates(tmp_path: Path) -> None:
    """The file of issuers is read at the start; without a CA's certificate in it, or without a
    signature to ask for, nobody could ever meet the requirement."""
    file = tmp_path / "issuers.pem"
    file.write_bytes(pem(certificate("issuing ca", "issuing ca", ca=True)))
    made = settings(issuing_certificates=file, signed_response="require")
    assert len(made.issuers()) == 1
    with pytest.raises(ValidationError):
        settings(issuing_certificates=file, signed_response="require", sign_type="")
    file.write_text("words")
    with pytest.raises(ValidationError):
        settings(issuing_certificates=file)


def test_every_setting_is_described() -> None:
    """The manual's table is made from the descriptions: none is missing."""

    def check(model: type[BaseModel]) -> None:
        for name, field in model.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                check(inner)
            else:
                assert field.description, name

    check(SpApiSettings)
