"""The rules of a client's security profile (FAPI 2.0), clause by clause."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from idp.registry import profiles
from idp.registry.metadata import ClientMetadata
from idp.registry.registration import Registration
from tests.certificates import Pair
from tests.keys import Signer

KEYS = {"keys": [Signer().public()]}
CLIENT: dict[str, Any] = {
    "client_name": "館藏服務",
    "redirect_uris": ("https://service.test/callback",),
    "profile": "fapi2",
    "jwks": KEYS,
}


def test_the_profile_fills_in_what_it_needs() -> None:
    """One option: the rest follows from it."""
    made = Registration.model_validate(CLIENT)
    assert made.token_endpoint_auth_method == "private_key_jwt"
    assert made.require_pkce
    assert made.require_pushed_authorization_requests
    assert made.dpop_bound_access_tokens
    assert made.id_token_signed_response_alg == "ES256"
    assert profiles.algorithms(made, ["RS256"]) == ("PS256", "ES256", "EdDSA")


def test_certificates_in_place_of_proofs() -> None:
    """§5.3.2.1: either constrains the sender."""
    own = Pair.issued("own")
    certified = {
        "tls_client_certificate_bound_access_tokens": True,
        "token_endpoint_auth_method": "self_signed_tls_client_auth",
        "jwks": {"keys": [own.jwk]},
    }
    made = Registration.model_validate(CLIENT | certified)
    assert not made.dpop_bound_access_tokens


def test_a_program() -> None:
    """A program logs nobody in, and is held to the rest."""
    fields = {"redirect_uris": (), "grant_types": ("client_credentials",)}
    assert Registration.model_validate(CLIENT | fields).dpop_bound_access_tokens


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "a secret": (
        {"token_endpoint_auth_method": "client_secret_basic", "jwks": None},
        "token_endpoint_auth_method",
    ),
    "nothing": ({"token_endpoint_auth_method": "none", "jwks": None}, "token_endpoint_auth_method"),
    "bearer tokens": ({"dpop_bound_access_tokens": False}, "dpop_bound_access_tokens or"),
    "no PAR": ({"require_pushed_authorization_requests": False}, "require_pushed"),
    "no PKCE": ({"require_pkce": False}, "require_pkce"),
    "loopback": ({"redirect_uris": ("http://127.0.0.1/cb",)}, "https alone"),
    "an app": (
        {"redirect_uris": ("test.service.app:/cb",), "application_type": "native"},
        "https alone",
    ),
    "RS256 assertions": ({"token_endpoint_auth_signing_alg": "RS256"}, "every signature"),
    "RS256 request objects": ({"request_object_signing_alg": "RS256"}, "every signature"),
    "RS256 ID tokens": ({"id_token_signed_response_alg": "RS256"}, "every signature"),
    "RS256 UserInfo": ({"userinfo_signed_response_alg": "RS256"}, "every signature"),
    "RS256 access tokens": ({"access_token_alg": "RS256"}, "every signature"),
}


@pytest.mark.parametrize(("fields", "said"), BROKEN.values(), ids=BROKEN)
def test_a_contradiction_is_refused(fields: dict[str, Any], said: str) -> None:
    """What the profile forbids is not registered, with the clause."""
    with pytest.raises(ValidationError, match=r"fapi2 needs .*\(FAPI 2.0 §5") as fault:
        Registration.model_validate(CLIENT | fields)
    assert said in str(fault.value)
    bare = {name: value for name, value in (CLIENT | fields).items() if name != "profile"}
    Registration.model_validate(bare | _method(bare))


def _method(fields: dict[str, Any]) -> dict[str, Any]:
    """Without the profile its default is a secret; these rows are about something else."""
    known = {"token_endpoint_auth_method": "private_key_jwt"}
    return {} if "token_endpoint_auth_method" in fields else known


SIGNING = CLIENT | {"profile": "fapi2-message-signing"}


def test_message_signing() -> None:
    """FAPI 2.0 Message Signing: all of the other profile, and both directions signed."""
    made = Registration.model_validate(SIGNING)
    assert made.require_signed_request_object
    assert made.response_modes == ("query.jwt", "form_post.jwt")
    assert made.authorization_signed_response_alg == "ES256"
    assert made.require_pushed_authorization_requests
    assert made.dpop_bound_access_tokens


@pytest.mark.parametrize(
    "fields",
    [
        {"require_signed_request_object": False},
        {"response_modes": ("query.jwt", "query")},
        {"authorization_signed_response_alg": "RS256"},
        {"require_pkce": False},
    ],
)
def test_message_signing_is_not_weakened(fields: dict[str, Any]) -> None:
    """What it forbids is not registered."""
    with pytest.raises(ValidationError, match=r"fapi2-message-signing needs .*\(FAPI 2.0 "):
        Registration.model_validate(SIGNING | fields)


@pytest.mark.parametrize("profile", ["fapi", "FAPI2", 2, ["fapi2"], {"fapi2": 1}, None])
def test_a_profile_that_is_none(profile: Any) -> None:
    """A fault like any other."""
    with pytest.raises(ValidationError, match="profile"):
        Registration.model_validate(CLIENT | {"profile": profile})


def test_every_fault_at_once() -> None:
    """Whoever turns a client into one of the profile learns all that it lacks."""
    plain = Registration.model_validate({**CLIENT, "profile": "", **_method({})})
    found = list(profiles.faults(plain.model_copy(update={"profile": "fapi2"})))
    assert len(found) == 4, found


def test_a_profile_of_tomorrow() -> None:
    """A row that a newer version wrote is readable, and not held to less."""
    known = ClientMetadata(profile="fapi3")
    assert list(profiles.faults(known)) == []
    assert "RS256" not in profiles.algorithms(known, ["RS256"])
    assert profiles.code_seconds(known, 600) == 60


@pytest.mark.parametrize(("usual", "life"), [(600, 60), (60, 60), (10, 10)])
def test_life_of_a_code(usual: int, life: int) -> None:
    """§5.3.2.1: at most 60 seconds; who has no profile has what the operator chose."""
    assert profiles.code_seconds(ClientMetadata(profile="fapi2"), usual) == life
    assert profiles.code_seconds(ClientMetadata(), usual) == usual
