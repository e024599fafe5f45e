"""Spring Boot 3 and 4 as the pages spring-*.md set them up: login, API, and a key as the secret."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import cache
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.actors import Page
from tests.clients.blocks import Recipe
from tests.clients.java import JVM, SpringBoot, unlike_the_source
from tests.clients.lab import Lab
from tests.clients.person import STRANGER, Person
from tests.clients.site import call

LOGIN, API, KEY = (
    Recipe(name) for name in ("spring-boot", "spring-resource-server", "spring-private-key-jwt")
)
# Spring counts a token as over a minute before it is, so this one is over at once
SHORT = ("--token-seconds", "60")


@pytest.fixture(scope="module", params=[3, 4])
def app(lab: Lab, request: pytest.FixtureRequest) -> Iterator[SpringBoot]:
    with SpringBoot(request.param) as app:
        yield app.serve(lab, LOGIN, *SHORT)


@pytest.fixture(scope="module", params=[3, 4])
def key_app(lab: Lab, request: pytest.FixtureRequest) -> Iterator[SpringBoot]:
    with SpringBoot(request.param) as app:
        app.make_key(KEY)
        beside = {"SPRING_PROFILES_ACTIVE": "key,pkce"}
        beside |= {"SERVER_FORWARD_HEADERS_STRATEGY": "framework"}
        yield app.serve(lab, KEY, *SHORT, **beside)


def entered(person: Person, app: SpringBoot) -> Page:
    page = person.walk(app.url + "/me")
    assert urlsplit(page.url)._replace(query="").geturl() == app.url + "/me", page.html
    return page


@pytest.mark.parametrize("page", [LOGIN, API, KEY], ids=lambda page: page.name)
def test_the_page_prints_what_is_run(page: Recipe) -> None:
    """Each code block is in the sources that were built, and the versions are theirs."""
    assert unlike_the_source(page) == []
    assert f"Spring Boot {version(3)} and {version(4)}" in page.section("Tried with")


def version(major: int) -> str:
    """Of Spring Boot, in the file that builds the application."""
    pom = (JVM / f"spring-boot-{major}" / "pom.xml").read_text(encoding="utf-8")
    found = re.search(r"<parent>.*<version>(.+?)</version>.*</parent>", pom, re.S)
    assert found
    return found[1]


def test_a_person_of_the_directory_logs_in(lab: Lab, app: SpringBoot) -> None:
    """The program shows claims of the ID token and of UserInfo."""
    claims = entered(lab.person(), app).texts["claims"]
    assert "acr=urn:twfido:qr" in claims
    assert "email=ming@example.gov.tw" in claims


def test_a_person_without_name_and_email_logs_in(lab: Lab, app: SpringBoot) -> None:
    """The subject is enough."""
    claims = entered(lab.person(number=STRANGER), app).texts["claims"]
    assert "sub=" in claims
    assert "email=" not in claims


def test_whoever_cancels_sees_the_programs_own_page(lab: Lab, app: SpringBoot) -> None:
    """A refusal ends at the program, which does not begin the login again."""
    page = lab.person().cancel(app.url + "/me")
    assert page.url == app.url + "/refused"
    assert "access_denied" in page.html


def test_logout_ends_both_sessions_and_returns(lab: Lab, app: SpringBoot) -> None:
    """The person is back at the program, and the next login asks them again."""
    person = lab.person()
    left = person.go_on(person.press(entered(person, app), "leave"))
    assert left.url == app.url + "/"
    assert "continue" in person.open(app.url + "/me").buttons()


def refreshed(person: Person, app: SpringBoot) -> bool:
    """Whether the program has a newer access token at its second look."""
    first = person.open(app.url + "/fresh").texts["issued"]
    time.sleep(0.01)
    return person.open(app.url + "/fresh").texts["issued"] > first


def test_an_access_token_that_is_over_is_refreshed(lab: Lab, app: SpringBoot) -> None:
    """The program has a new one without a page for the person."""
    person = lab.person()
    entered(person, app)
    assert refreshed(person, app)


def test_a_refused_refresh_leads_to_a_new_login(lab: Lab, app: SpringBoot) -> None:
    """Spring forgets what the bridge has revoked, and the call after that asks the person."""
    person = lab.person()
    entered(person, app)
    person.walk(lab.issuer + "/logout")
    assert person.open(app.url + "/fresh").status == 500
    page = person.open(app.url + "/fresh")
    assert "continue" in page.buttons()
    assert "issued" in person.go_on(page).texts


AT_JWT = (" --access-token-typ JWT", "")
FOREIGN = ("--audience https://api.example.gov.tw", "--audience https://other.example.gov.tw")
ADMIN = ("--role basic", "--role admin")
UNSCOPED = ("transport:read", "library:read")
NAMED = ("client create", "client create --client-id the-caller")


@cache
def token(lab: Lab, *changes: tuple[str, str]) -> str:
    """Of a program that is registered as the page says, with these changes."""
    client = lab.client(*API.registration(dict(changes)))
    form = {"grant_type": "client_credentials"}
    answer = httpx.post(lab.issuer + "/token", data=form, auth=client, trust_env=False)
    return str(answer.raise_for_status().json()["access_token"])


def test_an_api_by_properties_alone_takes_tokens_of_typ_jwt(lab: Lab, app: SpringBoot) -> None:
    """What is registered with --access-token-typ JWT needs no code in Spring."""
    assert call(app.url + "/v1/whoami", token(lab)).status_code == 200


def test_such_an_api_says_why_it_takes_no_at_jwt(lab: Lab, app: SpringBoot) -> None:
    """The message is the one that the page explains."""
    answer = call(app.url + "/v1/whoami", token(lab, AT_JWT, NAMED))
    assert answer.status_code == 401
    said = answer.headers["www-authenticate"]
    assert any(words in said for words in ("at+jwt not allowed", "needs to be one of [JWT]"))


def test_roles_are_authorities(lab: Lab, app: SpringBoot) -> None:
    """The scope opens what it is for, the role what is for it."""
    assert call(app.url + "/v1/admin/whoami", token(lab)).status_code == 403
    assert call(app.url + "/v1/admin/whoami", token(lab, ADMIN)).status_code == 200


def test_an_api_with_its_decoder_takes_both_types(lab: Lab, app: SpringBoot) -> None:
    """It knows the program by its client id."""
    assert call(app.url + "/v2/whoami", token(lab)).status_code == 200
    answer = call(app.url + "/v2/whoami", token(lab, AT_JWT, NAMED))
    assert (answer.status_code, answer.text) == (200, "the-caller")


@pytest.mark.parametrize("path", ["/v1/whoami", "/v2/whoami"])
def test_an_api_refuses_what_is_not_for_it(lab: Lab, app: SpringBoot, path: str) -> None:
    """401 for no token, a broken one and one for another audience; 403 without the scope."""
    good = token(lab)
    head, body, signature = good.split(".")
    broken = f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    for bad in ("", "nonsense", broken, token(lab, FOREIGN)):
        assert call(app.url + path, bad).status_code == 401
    assert call(app.url + path, token(lab, UNSCOPED)).status_code == 403


def test_a_key_in_place_of_the_secret(lab: Lab, key_app: SpringBoot) -> None:
    """The login and the refresh are signed with the key."""
    person = lab.person()
    entered(person, key_app)
    assert refreshed(person, key_app)


def test_what_the_page_says_for_pkce_and_for_proxies(key_app: SpringBoot) -> None:
    """The request has a challenge, and the address under which the proxy was asked."""
    start = key_app.url + "/oauth2/authorization/idp"
    proxied = {"x-forwarded-proto": "https", "x-forwarded-host": "service.example.gov.tw"}
    asked = httpx.get(start, headers=proxied, trust_env=False).headers["location"]
    query = {name: value[0] for name, value in parse_qs(urlsplit(asked).query).items()}
    assert query["code_challenge_method"] == "S256"
    assert query["redirect_uri"] == "https://service.example.gov.tw/login/oauth2/code/idp"
