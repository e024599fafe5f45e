"""Client certificates (RFC 8705): who a client is, and whose tokens are whose."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from idp.guard import Guard, Rule, gate
from idp.mtls import HEADER, MOST_BYTES, X5T, thumbprint
from tests.actors import Service
from tests.agency import Api
from tests.certificates import ISSUES, NO_USE, Pair
from tests.deeds import allow, on_sqlite, refused
from tests.house import HOME, ISSUER, Registered, TestHouse
from tests.keys import Holder

MUTUAL, PROXY = "https://mtls.id.test", "10.0.0.1"
CA = Pair.issued("Clients CA", ca=True)
MINE = Pair.issued("mine")


@pytest.fixture
def changed_settings(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "ca.pem").write_bytes(CA.pem)
    return {
        "web": {"trusted_proxies": (f"{PROXY}/32",)},
        "mtls": {"url": MUTUAL, "ca_file": tmp_path / "ca.pem"},
    }


def wire(house: TestHouse, pair: Pair | None = None, **headers: str) -> httpx.AsyncClient:
    """What comes by the proxy, which was shown this certificate."""
    told = {"x-forwarded-proto": "https", "x-forwarded-for": HOME, **headers}
    client = house.http(PROXY, headers=told | ({HEADER: pair.header} if pair else {}))
    client.base_url = httpx.URL(MUTUAL)
    return client


async def asked(
    http: httpx.AsyncClient, client: Registered, path: str = "/token", **fields: str
) -> httpx.Response:
    known = {"grant_type": "client_credentials", "client_id": client.id}
    return await http.post(path, data=known | fields)


async def issued(house: TestHouse, **names: str) -> Registered:
    return await house.register_program(token_endpoint_auth_method="tls_client_auth", **names)


async def self_signed(house: TestHouse, *pairs: Pair, **fields: Any) -> Registered:
    known = {
        "token_endpoint_auth_method": "self_signed_tls_client_auth",
        "jwks": {"keys": [pair.jwk for pair in pairs]},
    }
    return await house.register_program(**known, **fields)


# ── client authentication: a certificate of an authority ────────────────────────────────────────

NAMES: dict[str, tuple[str, x509.GeneralName]] = {
    "san_dns": ("Api.Example.gov.tw", x509.DNSName("api.example.gov.tw")),
    "san_uri": ("urn:x:1", x509.UniformResourceIdentifier("urn:x:1")),
    "san_ip": ("2001:DB8::1", x509.IPAddress(ipaddress.ip_address("2001:db8::1"))),
    "san_email": ("api@example.gov.tw", x509.RFC822Name("api@example.gov.tw")),
}


@pytest.mark.parametrize(("kind", "name"), NAMES.items(), ids=NAMES)
async def test_by_a_name(house: TestHouse, kind: str, name: tuple[str, x509.GeneralName]) -> None:
    """§2.1.2: the one name that was registered decides, and nothing but that name."""
    client = await issued(house, **{f"tls_client_auth_{kind}": name[0]})
    mine = Pair.issued("any", CA, names=(x509.DNSName("b.test"), name[1]))
    answer = await asked(wire(house, mine), client)
    assert answer.status_code == 200, answer.text
    assert answer.json()["token_type"] == "Bearer"
    for other in (
        Pair.issued("any", CA, names=(x509.DNSName("b.test"),)),
        Pair.issued(name[0], CA),  # the same text elsewhere
        Pair.issued("any", names=(name[1],)),  # of its own making
        Pair.issued("any", Pair.issued("Clients CA", ca=True), names=(name[1],)),
    ):
        refused(await asked(wire(house, other), client), 401, "invalid_client")


@on_sqlite
async def test_by_its_subject(house: TestHouse) -> None:
    """§2.1.2: the whole subject, however its text is escaped (RFC 4514)."""
    client = await issued(house, tls_client_auth_subject_dn=r"CN=\70rogram,O=國家圖書館,C=TW")
    good = await asked(wire(house, Pair.issued("program", CA)), client)
    assert good.status_code == 200, good.text
    for other in ("programs", "Program", "program "):
        bad = await asked(wire(house, Pair.issued(other, CA)), client)
        refused(bad, 401, "invalid_client")


UNFIT: dict[str, Callable[[], Pair]] = {
    "expired": lambda: Pair.issued("p", CA, days=(-10, -1)),
    "not yet": lambda: Pair.issued("p", CA, days=(1, 10)),
    "for servers": lambda: Pair.issued("p", CA, purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    "for encryption": lambda: Pair.issued("p", CA, use=NO_USE | {"key_encipherment": True}),
    "for issuing": lambda: Pair.issued("p", CA, use=ISSUES),
    "an authority": lambda: Pair.issued("p", CA, ca=True),
    "the authority itself": lambda: CA,
    "of one who may not issue": lambda: Pair.issued("p", Pair.issued("p", CA)),
}


@on_sqlite
@pytest.mark.parametrize("made", UNFIT.values(), ids=UNFIT)
async def test_unfit_certificates(house: TestHouse, made: Callable[[], Pair]) -> None:
    """RFC 5280 §6: the right name in a certificate that is none, or is for something else."""
    client = await issued(house, tls_client_auth_subject_dn="CN=p,O=國家圖書館,C=TW")
    refused(await asked(wire(house, made()), client), 401, "invalid_client")
    (event,) = await house.events("client.auth_failed")
    assert str(event["detail"]["why"]).startswith("certificate: ")


# ── client authentication: a certificate of its own making ──────────────────────────────────────


async def test_of_its_own_making(house: TestHouse) -> None:
    """§2.2: one of the registered certificates, and no other of the same name or key."""
    second = Pair.issued("second")
    client = await self_signed(house, MINE, second)
    for good in (MINE, second):
        assert (await asked(wire(house, good), client)).status_code == 200
    for bad in (Pair.issued("mine"), Pair.issued("mine", CA), None):
        refused(await asked(wire(house, bad), client), 401, "invalid_client")


@on_sqlite
async def test_an_expired_one_of_its_own(house: TestHouse) -> None:
    """A certificate ends when it says so, whoever made it."""
    short = Pair.issued("short", days=(-10, 1))
    client = await self_signed(house, short)
    assert (await asked(wire(house, short), client)).status_code == 200
    house.clock.pass_(86_401)
    refused(await asked(wire(house, short), client), 401, "invalid_client")


@on_sqlite
async def test_a_certificate_is_no_other_method(house: TestHouse) -> None:
    """§2: who has a secret proves itself by the secret, and who has a certificate by that: each
    alone."""
    by_secret = await house.register_program()
    refused(await asked(wire(house, MINE), by_secret), 401, "invalid_client")
    by_certificate = await self_signed(house, MINE)
    for extra in ({"client_secret": "x"}, {"client_assertion": "x", "client_assertion_type": "y"}):
        answer = await asked(wire(house, MINE), by_certificate, **extra)
        refused(answer, 401, "invalid_client")
    refused(await wire(house, MINE).post("/token", data={"grant_type": "client_credentials"}),
            401, "invalid_client")  # fmt: skip


# ── who is believed ─────────────────────────────────────────────────────────────────────────────


@on_sqlite
async def test_the_header_of_anybody_else(house: TestHouse) -> None:
    """RFC 9440 §4: a certificate is not secret; who sends one as a header has shown nothing."""
    client = await self_signed(house, MINE)
    forged = house.http(HOME, headers={HEADER: MINE.header})
    for base in (ISSUER, MUTUAL):
        forged.base_url = httpx.URL(base)
        refused(await asked(forged, client), 401, "invalid_client")


@on_sqlite
async def test_under_the_issuers_own_name(house: TestHouse) -> None:
    """Where nobody is asked for a certificate, a proxy hands none over."""
    client, http = await self_signed(house, MINE), wire(house, MINE)
    http.base_url = httpx.URL(ISSUER)
    refused(await asked(http, client), 401, "invalid_client")


HOSTILE: dict[str, str] = {
    "garbage": "garbage",
    "percent": "%%%%-----BEGIN%20CERTIFICATE-----%zz",
    "an empty block": "-----BEGIN%20CERTIFICATE-----%0A-----END%20CERTIFICATE-----%0A",
    "no DER": "-----BEGIN%20CERTIFICATE-----%0AAAAA%0A-----END%20CERTIFICATE-----%0A",
    "a key": "-----BEGIN%20PUBLIC%20KEY-----%0AAAAA%0A-----END%20PUBLIC%20KEY-----%0A",
    "two": MINE.header + "%0A" + MINE.header,
    "cut": MINE.header[:-80],
    "huge": MINE.header + "%0A" * MOST_BYTES,
    "latin": "\xff\xfe",
}


@on_sqlite
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
async def test_hostile_certificates(house: TestHouse, text: str) -> None:
    """What no library can read authenticates nobody, binds nothing, and stores nothing."""
    headers: Any = {HEADER: text.encode("latin-1")}
    client = await self_signed(house, MINE)
    refused(await asked(wire(house, **headers), client), 401, "invalid_client")
    bound = await house.register_program(tls_client_certificate_bound_access_tokens=True)
    answer = await asked(wire(house, **headers), bound, client_secret=bound.secret or "")
    refused(answer, 400, "invalid_request")
    assert answer.json()["error_description"].startswith("client certificate: ")


@on_sqlite
async def test_several_headers(house: TestHouse) -> None:
    """A proxy that writes two is none of ours."""
    client = await self_signed(house, MINE)
    headers = [(HEADER, MINE.header), (HEADER, MINE.header)]
    form = {"grant_type": "client_credentials", "client_id": client.id}
    answer = await wire(house).post("/token", data=form, headers=headers)
    assert answer.status_code == 400


# ── bound tokens ────────────────────────────────────────────────────────────────────────────────

BOUND: dict[str, Any] = {"tls_client_certificate_bound_access_tokens": True}


async def by(service: Service, pair: Pair | None) -> Service:
    """The service, which shows this certificate from now on."""
    service.http = wire(service.house, pair)
    return service


async def userinfo(house: TestHouse, token: str, pair: Pair | None) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"}
    return await wire(house, pair).get("/userinfo", headers=headers)


async def test_from_the_login_to_userinfo(house: TestHouse) -> None:
    """§3: the token names the certificate, and opens UserInfo where that is shown."""
    service = Service(house, await house.register("bound", **BOUND))
    deed = await allow(service, scope="openid offline_access")
    refused(await service.redeem(deed.code), 400, "invalid_request")
    assert not await deed.burnt()
    tokens = (await (await by(service, MINE)).redeem(deed.code)).json()
    access = tokens["access_token"]
    assert tokens["token_type"] == "Bearer"
    assert (await service.verified(access))["cnf"] == {X5T: thumbprint(MINE.certificate)}
    assert (await userinfo(house, access, MINE)).status_code == 200
    for other in (None, Pair.issued("mine")):
        answer = await userinfo(house, access, other)
        refused(answer, 401, "invalid_token")
        assert answer.headers["www-authenticate"].startswith("Bearer ")
    told = await service.http.post("/introspect", data={"token": access}, auth=service.auth())
    assert told.json()["cnf"] == {X5T: thumbprint(MINE.certificate)}
    # a confidential client may change its certificate (§3): each token has its own
    other = Pair.issued("next")
    fresh = (await (await by(service, other)).refresh(tokens["refresh_token"])).json()
    cnf = (await service.verified(fresh["access_token"]))["cnf"]
    assert cnf == {X5T: thumbprint(other.certificate)}


async def test_a_public_clients_refresh_tokens(house: TestHouse) -> None:
    """§4: an app's refresh tokens are good only with the certificate of its first request."""
    app = await house.register("app", token_endpoint_auth_method="none", **BOUND)
    service = await by(Service(house, app), MINE)
    deed = await allow(service, scope="openid offline_access")
    tokens = await deed.tokens()
    refused(
        await (await by(service, Pair.issued("mine"))).refresh(tokens["refresh_token"]),
        400,
        "invalid_grant",
    )
    assert not await deed.revoked()
    fresh = (await (await by(service, MINE)).refresh(tokens["refresh_token"])).json()
    assert fresh["refresh_token"] == tokens["refresh_token"]


@on_sqlite
async def test_programs_too(house: TestHouse) -> None:
    """§3: at every grant, in the TDX manner too; who is not registered for it is not bound."""
    realm = "/realms/TDXConnect/protocol/openid-connect/token"
    bound = await self_signed(house, MINE, **BOUND)
    for path in ("/token", realm):
        token = (await asked(wire(house, MINE), bound, path)).json()["access_token"]
        claims = await Service(house, bound).verified(token)
        assert claims["cnf"] == {X5T: thumbprint(MINE.certificate)}
    free = await self_signed(house, MINE)
    token = (await asked(wire(house, MINE), free)).json()["access_token"]
    assert "cnf" not in await Service(house, free).verified(token)


@on_sqlite
async def test_a_key_and_a_certificate(house: TestHouse) -> None:
    """Both are needed of a token that is bound to both; a proof here is for the name here."""
    bound, holder = await self_signed(house, MINE, **BOUND), Holder()
    proof = holder.proof(house.clock.now(), f"{MUTUAL}/token")
    answer = await asked(wire(house, MINE, dpop=proof), bound)
    assert answer.json()["token_type"] == "DPoP", answer.text
    claims = await Service(house, bound).verified(answer.json()["access_token"])
    assert claims["cnf"] == {"jkt": holder.jkt, X5T: thumbprint(MINE.certificate)}
    elsewhere = holder.proof(house.clock.now(), f"{ISSUER}/token")
    refused(await asked(wire(house, MINE, dpop=elsewhere), bound), 400, "invalid_dpop_proof")


# ── the guard ───────────────────────────────────────────────────────────────────────────────────


@on_sqlite
async def test_at_an_api(house: TestHouse) -> None:
    """§3: the guard asks for the same certificate, as the API's own proxy names it."""
    bound = await self_signed(house, MINE, **BOUND)
    token = (await asked(wire(house, MINE), bound)).json()["access_token"]
    shows = {"certificate": ""}
    api = Api(house, certificate=lambda _scope: shows["certificate"], rules=[Rule("/", bound=True)])
    for text, status in (
        (MINE.header, 200),
        ("", 401),
        (Pair.issued("mine").header, 401),
        ("garbage", 401),
        (f"{MINE.header}, {MINE.header}", 401),
    ):
        shows["certificate"] = text
        answer = await api.get("/v1/stops", token)
        assert answer.status_code == status, text
    shows["certificate"] = MINE.header
    free = (await asked(wire(house, MINE), await self_signed(house, MINE))).json()["access_token"]
    assert (await api.get("/v1/stops", free)).status_code == 401


@on_sqlite
async def test_a_guard_that_is_told_of_no_certificates(house: TestHouse) -> None:
    """A bound token opens nothing where nobody can tell who holds it."""
    bound = await self_signed(house, MINE, **BOUND)
    token = (await asked(wire(house, MINE), bound)).json()["access_token"]
    api = Api(house)
    answer = await api.http.get(
        "/v1/stops", headers={"authorization": f"Bearer {token}", HEADER: MINE.header}
    )
    assert answer.status_code == 401
    assert isinstance(api.guard, Guard)


@on_sqlite
async def test_at_the_gate(house: TestHouse) -> None:
    """nginx names the certificate to the gate, as it names the path."""
    bound = await self_signed(house, MINE, **BOUND)
    token = (await asked(wire(house, MINE), bound)).json()["access_token"]
    options = {k: v for k, v in Api(house).options.items() if k != "rules"}
    http = httpx.AsyncClient(transport=httpx.ASGITransport(gate(**options)), base_url="http://gate")
    told = {"x-original-uri": "/v1", "x-real-ip": HOME, "authorization": f"Bearer {token}"}
    for certificate, status in ((MINE.header, 204), ("", 401), (Pair.issued("x").header, 401)):
        answer = await http.get("/", headers={**told, HEADER: certificate})
        assert answer.status_code == status
    twice = [*told.items(), (HEADER, MINE.header), (HEADER, MINE.header)]
    assert (await http.get("/", headers=twice)).status_code == 401


# ── metadata ────────────────────────────────────────────────────────────────────────────────────


@on_sqlite
async def test_metadata(house: TestHouse) -> None:
    """§2.1.1, §3.3, §5: the methods, the binding, and where to go."""
    document = (await house.http().get("/.well-known/openid-configuration")).json()
    assert document["tls_client_certificate_bound_access_tokens"] is True
    for endpoint in ("token", "introspection", "revocation"):
        methods = document[f"{endpoint}_endpoint_auth_methods_supported"]
        assert {"tls_client_auth", "self_signed_tls_client_auth"} <= set(methods)
    aliases = document["mtls_endpoint_aliases"]
    assert aliases["token_endpoint"] == f"{MUTUAL}/token"
    assert aliases["pushed_authorization_request_endpoint"] == f"{MUTUAL}/par"
    assert aliases["userinfo_endpoint"] == f"{MUTUAL}/userinfo"


@on_sqlite
@pytest.mark.parametrize("changed_settings", [{}], ids=["none"])
async def test_without_the_setting(house: TestHouse) -> None:
    """Nothing is promised, and no certificate is believed."""
    document = (await house.http().get("/.well-known/openid-configuration")).json()
    assert "mtls_endpoint_aliases" not in document
    assert not {m for m in document["token_endpoint_auth_methods_supported"] if "tls" in m}
    client, http = await self_signed(house, MINE), house.http(headers={HEADER: MINE.header})
    refused(await asked(http, client), 401, "invalid_client")
