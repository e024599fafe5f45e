"""Keycloak as a broker before the bridge, as docs/clients/keycloak.md sets it up."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.actors import Page
from tests.clients.blocks import Recipe, pasted
from tests.clients.java import Keycloak
from tests.clients.lab import Lab
from tests.clients.person import STRANGER, Person

PAGE = Recipe("keycloak")
REALM, APPLICATION = "agency", "application"


@pytest.fixture(scope="module")
def server() -> Iterator[Keycloak]:
    with Keycloak() as server:
        yield server


@pytest.fixture(scope="module")
def keycloak(lab: Lab, server: Keycloak) -> Keycloak:
    """With the realm, the bridge behind it as the page says, and an application before it."""
    said = {"http://127.0.0.1:8180": server.url}
    client_id, secret = lab.client(*PAGE.registration(said))
    made = {"ISSUER": lab.issuer, "CLIENT_ID": client_id, "CLIENT_SECRET": secret}
    mapper = json.loads(PAGE.block("Roles and claims", "json"))
    files = {
        "idp.json": pasted(PAGE.block("Configure", "json", "providerId"), made),
        "user-profile.json": PAGE.block("Configure", "json", "attributes"),
        "realm.json": json.dumps(realm(application(lab.dev.demo, mapper))),
    }
    for name, text in files.items():
        (server.folder / name).write_text(text, encoding="utf-8")
    first, *rest = pasted(PAGE.block("Configure", "sh"), said).splitlines()
    lines = [first, "kcadm.sh create realms -f realm.json", *rest]
    server.administer("\n".join(lines), server.folder)
    return server


def realm(client: Any) -> dict[str, Any]:
    return {"realm": REALM, "enabled": True, "clients": [client]}


def application(url: str, mapper: Any) -> dict[str, Any]:
    """A client of Keycloak without a secret; `url` answers whatever Keycloak sends there."""
    return {
        "clientId": APPLICATION,
        "publicClient": True,
        "redirectUris": [f"{url}/keycloak"],
        "attributes": {"post.logout.redirect.uris": f"{url}/left"},
        "protocolMappers": [mapper],
    }


def login(lab: Lab, keycloak: Keycloak) -> str:
    """The address to which the application sends a person, straight to the bridge."""
    wishes = {
        "client_id": APPLICATION,
        "redirect_uri": f"{lab.dev.demo}/keycloak",
        "response_type": "code",
        "scope": "openid",
        "nonce": secrets.token_urlsafe(8),
        "kc_idp_hint": "idp",
    }
    return f"{keycloak.url}/realms/{REALM}/protocol/openid-connect/auth?{urlencode(wishes)}"


def entered(lab: Lab, keycloak: Keycloak, person: Person) -> dict[str, Any]:
    """Logs a person in; what the application gets for its code."""
    page = person.walk(login(lab, keycloak))
    back = f"{lab.dev.demo}/keycloak"
    assert page.url.startswith(back), page.html
    return keycloak.form(
        REALM,
        "token",
        grant_type="authorization_code",
        client_id=APPLICATION,
        code=page.query["code"],
        redirect_uri=back,
    )


def claims(tokens: Mapping[str, Any]) -> dict[str, Any]:
    """Of the ID token that came from Keycloak itself."""
    found: dict[str, Any] = json.loads(
        base64.urlsafe_b64decode(tokens["id_token"].split(".")[1] + "==")
    )
    return found


def test_the_page_names_the_version_that_is_run(server: Keycloak) -> None:
    """It is the one that was unpacked."""
    version = server.program.parents[1].name.removeprefix("keycloak-")
    assert f"Keycloak {version} " in PAGE.section("Tried with")


def test_a_person_of_the_directory_logs_in(lab: Lab, keycloak: Keycloak) -> None:
    """No form asks for more; name, e-mail address and level reach the application."""
    told = claims(entered(lab, keycloak, lab.person()))
    assert told["given_name"] == "王小明"
    assert told["email"] == "ming@example.gov.tw"
    assert told["idp_acr"] == "urn:twfido:qr"
    assert "@" not in told["preferred_username"]


def test_a_person_without_name_and_email_logs_in(lab: Lab, keycloak: Keycloak) -> None:
    """The username is made of the subject; a second login finds the same person."""
    first = claims(entered(lab, keycloak, lab.person(number=STRANGER)))
    again = claims(entered(lab, keycloak, lab.person(number=STRANGER)))
    assert first["preferred_username"]
    assert not first.keys() & {"given_name", "email"}
    assert again["sub"] == first["sub"]


def test_whoever_cancels_sees_keycloaks_own_page(lab: Lab, keycloak: Keycloak) -> None:
    """A refusal ends at Keycloak's login page, which does not begin again by itself."""
    page: Page = lab.person().cancel(login(lab, keycloak))
    assert page.url.startswith(f"{keycloak.url}/realms/{REALM}/")
    assert "Access denied when authenticating with 行動身分識別" in page.html


def test_logout_ends_every_session_and_returns(lab: Lab, keycloak: Keycloak) -> None:
    """From the application through Keycloak and the bridge, and back to the application."""
    person = lab.person()
    query = {
        "id_token_hint": entered(lab, keycloak, person)["id_token"],
        "post_logout_redirect_uri": f"{lab.dev.demo}/left",
    }
    logout = f"{keycloak.url}/realms/{REALM}/protocol/openid-connect/logout?{urlencode(query)}"
    assert person.walk(logout).url == f"{lab.dev.demo}/left"
    assert "continue" in person.open(login(lab, keycloak)).buttons()


def test_the_application_refreshes_at_keycloak(lab: Lab, keycloak: Keycloak) -> None:
    """The refreshed ID token still tells the level of the login at the bridge."""
    tokens = entered(lab, keycloak, lab.person())
    fresh = keycloak.form(
        REALM,
        "token",
        grant_type="refresh_token",
        client_id=APPLICATION,
        refresh_token=tokens["refresh_token"],
    )
    assert claims(fresh)["idp_acr"] == "urn:twfido:qr"
