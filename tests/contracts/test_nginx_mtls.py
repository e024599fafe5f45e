"""The shipped nginx asks programs for certificates under a name of its own, and hands them over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from idp.mtls import HEADER, X5T, shown, thumbprint
from tests.actors import Service
from tests.agency import served
from tests.certificates import LONG, Pair
from tests.house import TestHouse, empty_sqlite, running, settings_for
from tests.services.mirror import Mirror
from tests.services.nginx import Edge
from tests.services.process import LOOPBACK

HOST, MUTUAL = "id.test", "mtls.id.test"
CA = Pair.issued("Clients CA", ca=True, days=LONG)
GOOD = Pair.issued("program", CA, days=LONG)


@pytest.fixture
async def house(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[TestHouse]:
    (tmp_path / "ca.pem").write_bytes(CA.pem)
    settings = settings_for(
        empty_sqlite(tmp_path_factory.getbasetemp()),
        web={"trusted_proxies": (f"{LOOPBACK}/32",)},
        mtls={"url": f"https://{MUTUAL}", "ca_file": tmp_path / "ca.pem"},
    )
    async with running(settings) as found:
        yield found


@pytest.fixture(scope="module")
def mirrored(start_edge: Callable[..., Edge]) -> Iterator[Edge]:
    """The edge in front of an upstream that says what reached it."""
    with Mirror() as mirror:
        yield start_edge(mirror.upstream, HOST, mutual=MUTUAL)


def shows(edge: Edge, pair: Pair | None, folder: Path) -> httpx.AsyncClient:
    """A program that shows this certificate where it is asked for one."""
    context = edge.trust()
    if pair:
        pair.shown_by(context, folder)
    return httpx.AsyncClient(base_url=f"https://{LOOPBACK}:{edge.https}", verify=context)


async def ask(
    http: httpx.AsyncClient,
    path: str = "/token",
    *,
    sni: str = MUTUAL,
    host: str = MUTUAL,
    headers: list[tuple[str, str]] | None = None,
    form: dict[str, str] | None = None,
) -> httpx.Response:
    async with http:
        return await http.request(
            "POST" if form else "GET",
            path,
            data=form,
            headers=[("host", host), *(headers or [])],
            extensions={"sni_hostname": sni},
        )


def handed_over(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [value for name, value in answer.json()["headers"] if name == HEADER]


async def test_from_the_handshake_to_the_token(
    house: TestHouse, start_edge: Callable[..., Edge], tmp_path: Path
) -> None:
    """A program proves itself by its certificate and gets a token bound to it; the same request
    without it, with another's, or with a forged header gets nothing."""
    client = await house.register_program(
        token_endpoint_auth_method="tls_client_auth",
        tls_client_auth_subject_dn="CN=program,O=國家圖書館,C=TW",
        tls_client_certificate_bound_access_tokens=True,
    )
    form = {"grant_type": "client_credentials", "client_id": client.id}
    forged = [(HEADER, GOOD.header)]
    async with served(house.app) as port:
        edge = start_edge(f"{LOOPBACK}:{port}", HOST, mutual=MUTUAL)
        answer = await ask(shows(edge, GOOD, tmp_path), form=form)
        assert answer.status_code == 200, answer.text
        claims = await Service(house, client).verified(answer.json()["access_token"])
        assert claims["cnf"] == {X5T: thumbprint(GOOD.certificate)}
        for pair, headers in ((None, []), (None, forged), (Pair.issued("program", days=LONG), []),
                              (Pair.issued("other", CA, days=LONG), forged)):  # fmt: skip
            refusal = await ask(shows(edge, pair, tmp_path), headers=headers, form=form)
            assert (refusal.status_code, refusal.json()["error"]) == (401, "invalid_client")
        own = await ask(shows(edge, GOOD, tmp_path), sni=HOST, host=HOST, headers=forged, form=form)
        assert own.status_code == 401


async def test_an_expired_certificate(mirrored: Edge, tmp_path: Path) -> None:
    """nginx refuses it before the bridge hears of it, in words that a program reads."""
    answer = await ask(shows(mirrored, Pair.issued("p", days=(-9_000, -8_000)), tmp_path))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_only_nginx_says_what_was_shown(mirrored: Edge, tmp_path: Path) -> None:
    """One header, whatever was sent under its name; empty if nothing was shown. Whose maker is
    nobody's is handed over too: the bridge decides (§2.2)."""
    forged = [(HEADER, "forged"), (HEADER, "twice")]
    own = Pair.issued("own", days=LONG)
    (text,) = handed_over(await ask(shows(mirrored, own, tmp_path), headers=forged))
    seen = shown(text)
    assert seen is not None
    assert seen.certificate == own.certificate
    assert handed_over(await ask(shows(mirrored, None, tmp_path), headers=forged)) == []


async def test_under_the_issuers_name_nobody_is_asked(mirrored: Edge, tmp_path: Path) -> None:
    """People's browsers see no question, and no header passes there."""
    http = shows(mirrored, GOOD, tmp_path)
    answer = await ask(http, sni=HOST, host=HOST, headers=[(HEADER, GOOD.header)])
    assert handed_over(answer) == []


async def test_a_name_in_tls_and_another_in_http(mirrored: Edge, tmp_path: Path) -> None:
    """Who was not asked cannot say afterwards that it was (RFC 9110 §7.4)."""
    asked = shows(mirrored, GOOD, tmp_path), shows(mirrored, GOOD, tmp_path)
    assert (await ask(asked[0], sni=HOST)).status_code == 421
    assert handed_over(await ask(asked[1], sni="localhost")) == []


@pytest.mark.parametrize("path", ["/", "/authorize", "/login/x", "/metrics", "/token/x", "/TOKEN"])
async def test_pages_have_the_issuers_name(mirrored: Edge, tmp_path: Path, path: str) -> None:
    """A cookie of this name would be nobody's; only what programs call is here."""
    assert (await ask(shows(mirrored, GOOD, tmp_path), path)).status_code == 404
