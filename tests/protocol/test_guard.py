"""The guard before an agency's API, with tokens of the real bridge."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import httpx
import prometheus_client
import pytest
from joserfc import jws
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from idp.guard import INVALID, LACKING, NO_HEADER, USED_UP, Limits, Rule, gate
from tests.actors import Browser, Service, log_in
from tests.agency import Api, token
from tests.house import ISSUER, TestHouse, empty_sqlite, running, settings_for

PLANS = {"small": "2/day"}


@pytest.fixture
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestHouse]:
    """The guard does not touch the store: one kind is enough."""
    url = empty_sqlite(tmp_path_factory.getbasetemp())
    async with running(settings_for(url)) as found:
        yield found


async def test_a_good_token_passes_with_its_claims(house: TestHouse) -> None:
    """The API behind the guard knows who calls."""
    answer = await Api(house).get("/v1/stops", await token(house))
    assert answer.status_code == 200
    assert answer.json()["client"]


async def test_what_tdx_documents_is_what_is_answered(house: TestHouse) -> None:
    """Each refusal has TDX's status and message, and RFC 6750's challenge."""
    api, good = Api(house), await token(house)
    weak = await token(house, scopes=("api:write",), roles=())
    cases = [
        (await api.get("/v1/stops"), NO_HEADER, 'Bearer realm="api"'),
        (await api.get("/v1/stops", good + "x"), INVALID, 'error="invalid_token"'),
        (await api.get("/v1/stops", "nonsense"), INVALID, 'error="invalid_token"'),
        (await api.get("/v1/stops", weak), LACKING, 'error="insufficient_scope"'),
        (await api.get("/v1/write", weak), LACKING, 'error="insufficient_scope"'),
    ]
    for answer, message, challenge in cases:
        assert answer.status_code == 401
        assert answer.json() == {"message": message}
        assert challenge in answer.headers["www-authenticate"]


async def test_a_public_path_asks_for_nothing_and_an_unknown_one_for_a_token(
    house: TestHouse,
) -> None:
    """Denied by default, open only where a rule says so."""
    api = Api(house)
    assert (await api.get("/open/hours")).status_code == 200
    assert (await api.get("/elsewhere")).status_code == 401


async def test_a_token_for_another_audience_or_a_person_of_it_is_foreign(house: TestHouse) -> None:
    """Who was given a token for one API cannot use it at another."""
    api = Api(house, audience="https://api.test")
    ours = await token(house, audience=("https://api.test",))
    theirs = await token(house, audience=("https://other.test",))
    assert (await api.get("/v1/stops", ours)).status_code == 200
    assert (await api.get("/v1/stops", theirs)).status_code == 401


async def test_a_person_s_token_opens_no_api(house: TestHouse) -> None:
    """What a relying party got for its visitor is for UserInfo, also where the guard has no
    audience of its own and the path no rule."""
    service = Service(house, await house.register("service"))
    page = await log_in(Browser(house), service)
    theirs = (await service.redeem(page)).json()["access_token"]
    assert (await service.userinfo(theirs)).status_code == 200
    for path in ("/elsewhere", "/metered", "/v1/stops"):
        answer = await Api(house).get(path, theirs)
        assert (answer.status_code, answer.json()) == (401, {"message": INVALID})


async def test_an_expired_token_is_refused_even_if_it_was_seen_before(house: TestHouse) -> None:
    """The memory of good tokens does not outlive them."""
    api, good = Api(house), await token(house, access_token_seconds=60)
    assert (await api.get("/v1/stops", good)).status_code == 200
    house.clock.pass_(70)
    assert (await api.get("/v1/stops", good)).status_code == 401


async def test_the_issuer_may_go_away_and_keys_may_change(house: TestHouse) -> None:
    """The last good key set is kept; a new kid is fetched as soon as the issuer is back."""
    api, before = Api(house), await token(house)
    assert (await api.get("/v1/stops", before)).status_code == 200
    await house.services.keyring.rotate(0, 86_400, immediately=True)
    await house.services.keyring.rotate(0, 86_400, immediately=True)
    after = await token(house)
    api.away = True
    house.clock.pass_(400)
    assert (await api.get("/v1/stops", before)).status_code == 200
    assert (await api.get("/v1/stops", after)).status_code == 401
    api.away = False
    house.clock.pass_(11)
    assert (await api.get("/v1/stops", after)).status_code == 200


async def test_without_any_key_the_guard_says_503(house: TestHouse) -> None:
    """Never a pass, and never the lie that the token is bad."""
    api = Api(house)
    api.away = True
    answer = await api.get("/v1/stops", await token(house))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_a_plan_is_used_up_for_its_key_only(house: TestHouse) -> None:
    """429 with the headers that say when to come back; other keys go on."""
    api, first, second = Api(house), await token(house), await token(house)
    one, two, three = [await api.get("/metered", first) for _ in range(3)]
    assert (one.headers["ratelimit-remaining"], two.headers["ratelimit-remaining"]) == ("1", "0")
    assert (three.status_code, three.json()) == (429, {"message": USED_UP})
    assert int(three.headers["retry-after"]) >= 1
    assert (await api.get("/metered", second)).status_code == 200


async def test_too_many_in_a_second_and_too_many_at_once(house: TestHouse) -> None:
    """TDX's 423 and 416."""
    api = Api(house, limits=Limits(per_second=3, connections=1))
    waiting = asyncio.create_task(api.get("/slow", await token(house)))
    await api.entered.wait()
    assert (await api.get("/open/hours")).status_code == 416
    api.leave.set()
    assert (await waiting).status_code == 200
    statuses = {(await api.get("/open/hours")).status_code for _ in range(8)}
    assert 423 in statuses


@pytest.mark.parametrize(("fail_open", "status"), [(True, 200), (False, 503)])
async def test_a_counter_store_that_is_away_closes_or_opens_as_chosen(
    house: TestHouse, fail_open: bool, status: int
) -> None:
    """The choice is the agency's, and closed unless it says otherwise; a plan is no exception."""
    limits = Limits(redis_url="redis://127.0.0.1:1/0", fail_open=fail_open, plans=PLANS)
    api, good = Api(house, limits=limits), await token(house)
    assert (await api.get("/open/hours")).status_code == status
    assert (await api.get("/metered", good)).status_code == status
    assert (await api.get("/v1/stops")).status_code == (401 if fail_open else 503)


async def test_a_key_that_was_taken_back(house: TestHouse) -> None:
    """Tokens that it signed are refused as soon as the guard may not keep the old JWKS any more,
    also those that it has seen before."""
    api, good = Api(house), await token(house)
    assert (await api.get("/v1/stops", good)).status_code == 200
    await house.services.keyring.remove(str(jws.extract_compact(good.encode()).headers()["kid"]))
    house.clock.pass_(house.settings.oidc.jwks_seconds)
    assert (await api.get("/v1/stops", good)).status_code == 401
    assert (await api.get("/v1/stops", await token(house))).status_code == 200


async def test_unknown_kids_do_not_flood_the_issuer(house: TestHouse) -> None:
    """However many bad tokens come, the issuer is asked at most once in ten seconds."""
    api = Api(house)
    assert (await api.get("/v1/stops", await token(house))).status_code == 200
    house.clock.pass_(11)
    before = api.asked
    for number in range(20):
        kid = base64.urlsafe_b64encode(
            json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": f"k{number}"}).encode()
        )
        forged = f"{kid.decode().rstrip('=')}.e30.AAAA"
        assert (await api.get("/v1/stops", forged)).status_code == 401
    assert api.asked - before == 2  # the metadata and the JWKS, once


async def test_scope_and_role_may_be_forbidden_instead(house: TestHouse) -> None:
    """RFC 6750 §3.1 says 403; an agency may choose it."""
    api = Api(house, lacking=403)
    answer = await api.get("/v1/write", await token(house))
    assert (answer.status_code, answer.json()) == (403, {"message": LACKING})
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([("authorization", "Basic YTpi")], INVALID),
        ([("authorization", "Bearer")], INVALID),
        ([("authorization", "Bearer a b")], INVALID),
        ([("authorization", "Bearer a"), ("authorization", "Bearer a")], INVALID),
        ([("authorization", "Bearer " + "a" * 9000)], INVALID),
        ([("x-authorization", "Bearer a")], NO_HEADER),
    ],
)
async def test_headers_that_bear_no_token(
    house: TestHouse, headers: list[tuple[str, str]], message: str
) -> None:
    """RFC 6750 §2.1: one header, one token; and none in the query (RFC 9700 §4.3.2)."""
    http = Api(house).http
    answer = await http.get("/v1/stops", headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"message": message})
    assert (await http.get("/v1/stops?access_token=a")).json() == {"message": NO_HEADER}


async def test_a_role_names_the_plan(house: TestHouse) -> None:
    """Where the rule names no plan, a role of the token does."""
    api = Api(house, limits=Limits(plans={"basic": "1/day", "gold": "9/day"}))
    basic, gold = await token(house), await token(house, roles=("gold",))
    assert [(await api.get("/v1/stops", basic)).status_code for _ in range(2)] == [200, 429]
    assert [(await api.get("/v1/stops", gold)).status_code for _ in range(2)] == [200, 200]


async def test_the_tightest_window_is_told(house: TestHouse) -> None:
    """A plan may have several windows: the headers are those of what ends first."""
    api = Api(house, limits=Limits(plans={"small": "2/day;100/hour"}))
    answer = await api.get("/metered", await token(house))
    told = {name: answer.headers[f"ratelimit-{name}"] for name in ("limit", "remaining")}
    assert told == {"limit": "2", "remaining": "1"}


async def test_the_guard_counts_what_it_answers(house: TestHouse) -> None:
    """idp_guard_answers_total, by answer."""

    def counted(answer: str) -> float:
        name = "idp_guard_answers_total"
        return prometheus_client.REGISTRY.get_sample_value(name, {"answer": answer}) or 0.0

    api, before = Api(house), (counted("passed"), counted("401"))
    await api.get("/v1/stops", await token(house))
    await api.get("/v1/stops")
    assert (counted("passed"), counted("401")) == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize(
    "path",
    [
        "/open/%2E%2E/v1/stops",
        "/open/%2e%2e/v1/stops",
        "//v1/stops",
        "/open/..%2fv1",
        "/v1%5cstops",
        "/open/..;/v1/stops",
        "/open/%2e%2e%3bx/v1/stops",
        "/v1;x/stops",
        "/open/%252e%252e/v1/stops",
        "/open/%c0%ae%c0%ae/v1/stops",
        "/v1/stops%00",
        "/V1/stops",
        "/Open/hours",
    ],
)
async def test_a_crooked_path_is_nobodys(house: TestHouse, path: str) -> None:
    """Whoever stands behind may read it as another path than the rules did."""
    api = Api(house)
    url = httpx.URL("https://api.test").copy_with(raw_path=path.encode())
    assert (await api.http.get(url)).status_code == 400
    door = httpx.ASGITransport(gate(**api.options))
    told = {"x-original-uri": path, "x-real-ip": "203.0.113.1"}
    async with httpx.AsyncClient(transport=door, base_url="http://gate.test") as http:
        refusal = await http.get("/", headers=told)
    assert (refusal.status_code, refusal.headers["x-guard-status"]) == (403, "400")


@pytest.mark.parametrize(
    ("path", "status"), [("/api/open/x", 200), ("/api/v1/x", 401), ("/api/open", 401)]
)
async def test_rules_are_read_where_the_guard_is_mounted(
    house: TestHouse, path: str, status: int
) -> None:
    """Under a root path the rules see what the application's own routes see."""
    api = Api(house)
    transport = httpx.ASGITransport(api.guard, root_path="/api")
    async with httpx.AsyncClient(transport=transport, base_url="https://api.test") as http:
        assert (await http.get(path)).status_code == status


async def test_a_path_beside_the_mount_loses_no_letter(house: TestHouse) -> None:
    """/apiv1 is not inside /api: its rule is asked, not that of another path."""
    api = Api(house, rules=[Rule("/api/open/", public=True), Rule("/", scope="nobody:has")])
    transport = httpx.ASGITransport(api.guard, root_path="/ap")
    async with httpx.AsyncClient(transport=transport, base_url="https://api.test") as http:
        bearer = {"authorization": f"Bearer {await token(house)}"}
        answer = await http.get("/apis/x", headers=bearer)
    assert answer.json() == {"message": LACKING}


async def test_one_network_is_one_caller(house: TestHouse) -> None:
    """Whoever has an IPv6 address has its /64: another of them is no fresh rate."""
    api = Api(house, limits=Limits(per_second=3))
    statuses = []
    for number in range(9):
        transport = httpx.ASGITransport(api.guard, client=(f"2001:db8::{number}", 1))
        async with httpx.AsyncClient(transport=transport, base_url="https://api.test") as http:
            statuses.append((await http.get("/open/hours")).status_code)
    assert 423 in statuses


@pytest.mark.parametrize("header", ["ImFsZyI", "WyJhbGciXQ", "bnVsbA", "MQ"])
async def test_a_header_that_is_no_object_is_a_bad_token(house: TestHouse, header: str) -> None:
    """Nothing that a stranger sends makes the agency's API fail."""
    answer = await Api(house).get("/v1/stops", f"{header}.eyJhIjogMX0.YWFh")
    assert (answer.status_code, answer.json()) == (401, {"message": INVALID})


# ── programs in browsers, and other readers of the RFCs ─────────────────────────────────────────

ASKS = {"origin": "https://map.example", "access-control-request-method": "GET"}


async def test_a_preflight_reaches_the_api(house: TestHouse) -> None:
    """It never carries credentials (Fetch §3.2.2), so a token cannot be asked of it; what is not
    a preflight is not let through for looking like half of one."""
    api = Api(house)
    assert (await api.http.options("/v1/stops", headers=ASKS)).status_code == 200
    for headers in (
        {},
        {"origin": "https://map.example"},
        {"access-control-request-method": "GET"},
        ASKS | {"authorization": "Bearer x"},
    ):
        assert (await api.http.options("/v1/stops", headers=headers)).status_code == 401
    assert (await api.http.get("/v1/stops", headers=ASKS)).status_code == 401


async def test_a_program_in_a_browser_can_read_its_refusal(house: TestHouse) -> None:
    """The refusal and the headers that say what to do are readable from any origin; nothing is
    added for others."""
    api = Api(house)
    refused = await api.http.get("/v1/stops", headers={"origin": "https://map.example"})
    assert refused.headers["access-control-allow-origin"] == "*"
    assert refused.headers["access-control-expose-headers"] == "WWW-Authenticate"
    assert "access-control-allow-origin" not in (await api.get("/v1/stops")).headers


async def test_what_passed_tells_a_browser_program_its_limits(house: TestHouse) -> None:
    """RateLimit headers are exposed where the API itself allows the origin."""

    async def mine(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {"Access-Control-Allow-Origin": "https://map.example"}
        await JSONResponse({}, headers=headers)(scope, receive, send)

    answer = await Api(house, app=mine).get("/metered", await token(house))
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert "RateLimit-Remaining" in exposed


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer   "])
async def test_the_scheme_has_no_case(house: TestHouse, scheme: str) -> None:
    """RFC 9110 §11.1 and §11.4: any case, one blank or several."""
    headers = {"authorization": f"{scheme} {await token(house)}"}
    assert (await Api(house).http.get("/v1/stops", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("rule", "opened", "closed"),
    [
        ("/free", ["/free", "/free/", "/free/x"], ["/freedom", "/free.json", "/fre"]),
        ("/free/", ["/free/", "/free/x"], ["/free", "/freedom"]),
        ("/", ["/", "/anything"], []),
    ],
)
async def test_a_rule_covers_whole_segments(
    house: TestHouse, rule: str, opened: list[str], closed: list[str]
) -> None:
    """A public /free must not open /freedom."""
    api = Api(house, rules=[Rule(rule, public=True)])
    assert [(await api.get(path)).status_code for path in opened] == [200] * len(opened)
    assert [(await api.get(path)).status_code for path in closed] == [401] * len(closed)


async def test_an_issuer_that_differs_is_told_once(
    house: TestHouse, caplog: pytest.LogCaptureFixture
) -> None:
    """A slash too many: the log says what differs, once, and the issuer is not asked at every
    call; it is asked again after a while."""
    good, asked = await token(house), 0

    async def count(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        body = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}
        return httpx.Response(200, json=body)

    http = httpx.AsyncClient(transport=httpx.MockTransport(count))
    api = Api(house, issuer=ISSUER + "/", http=http)
    for _ in range(10):
        assert (await api.get("/v1/stops", good)).status_code == 503
    assert asked == 1
    (line,) = [r.getMessage() for r in caplog.records if r.name == "idp.guard"]
    assert repr(ISSUER) in line and repr(ISSUER + "/") in line
    house.clock.pass_(3)
    assert (await api.get("/v1/stops", good)).status_code == 503
    assert asked == 2
    assert len([r for r in caplog.records if r.name == "idp.guard"]) == 1


async def test_a_token_whose_type_is_plain_jwt(house: TestHouse) -> None:
    """Some resource servers know no at+jwt, so a program's token may say JWT; an ID token, which
    says so too, opens nothing, whatever its audience."""
    now = house.clock.now()
    claims = {"iss": ISSUER, "aud": "api", "sub": "p", "iat": now, "exp": now + 60}
    access = {**claims, "client_id": "p", "jti": "j", "scope": "api:read"}
    signer = house.services.keyring.signer("ES256")
    api = Api(house, audience="api")
    for typ in ("at+jwt", "application/at+jwt", "AT+JWT", "JWT"):
        assert (await api.get("/v1/stops", signer.sign(typ, access))).status_code == 200, typ
    for typ, body in (("JWT", claims | {"nonce": "n"}), ("JWE", access), ("", access)):
        assert (await api.get("/v1/stops", signer.sign(typ, body))).status_code == 401, typ
