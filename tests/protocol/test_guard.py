"""The guard before an agency's API, with tokens of the real bridge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from idp.guard import INVALID, LACKING, NO_HEADER, USED_UP, Guard, Limits, Rule
from tests.house import ISSUER, TestHouse, empty_database, running, settings_for

RULES = [
    Rule("/v1/", scope="api:read"),
    Rule("/v1/write", scope="api:write", role="editor"),
    Rule("/open/", public=True),
    Rule("/metered", plan="small"),
]


class Api:
    """An agency's API behind the guard, and whoever calls it."""

    def __init__(self, house: TestHouse, **options: Any) -> None:
        self.house, self.away = house, False
        self.entered, self.leave = asyncio.Event(), asyncio.Event()
        bridge = httpx.ASGITransport(house.app, client=("198.51.100.30", 1))

        async def to_bridge(request: httpx.Request) -> httpx.Response:
            if self.away:
                raise httpx.ConnectError("away")
            return await bridge.handle_async_request(request)

        known: dict[str, Any] = {
            "issuer": ISSUER,
            "rules": RULES,
            "limits": Limits(plans={"small": "2/day"}),
            "http": httpx.AsyncClient(transport=httpx.MockTransport(to_bridge)),
            "clock": house.clock.precise,
        }
        app = Starlette(routes=[Route("/slow", self.slow), Route("/{rest:path}", self.fast)])
        self.guard = Guard(app, **(known | options))
        transport = httpx.ASGITransport(self.guard, client=("203.0.113.50", 1))
        self.http = httpx.AsyncClient(transport=transport, base_url="https://api.test")

    async def fast(self, request: Request) -> Response:
        claims = getattr(request.state, "token", {})
        return JSONResponse({"client": claims.get("client_id")})

    async def slow(self, _request: Request) -> Response:
        self.entered.set()
        await self.leave.wait()
        return JSONResponse({})

    async def get(self, path: str, token: str | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return await self.http.get(path, headers=headers)


async def token(house: TestHouse, **fields: Any) -> str:
    program = await house.register_program(**fields)
    form = {"grant_type": "client_credentials"}
    auth = (program.id, program.secret or "")
    answer = await house.http().post("/token", data=form, auth=auth)
    return str(answer.json()["access_token"])


@pytest.fixture
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestHouse]:
    """The guard does not touch the store: one kind is enough."""
    url = empty_database("sqlite", tmp_path_factory.getbasetemp(), lambda: None)  # type: ignore[arg-type,return-value]
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
    await house.ground.keyring.rotate(0, 86_400, immediately=True)
    await house.ground.keyring.rotate(0, 86_400, immediately=True)
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
    """The choice is the agency's, and closed unless it says otherwise."""
    limits = Limits(redis_url="redis://127.0.0.1:1/0", fail_open=fail_open)
    assert (await Api(house, limits=limits).get("/open/hours")).status_code == status


@pytest.mark.parametrize(
    "path",
    [
        "/open/%2E%2E/v1/stops",
        "/open/%2e%2e/v1/stops",
        "//v1/stops",
        "/open/..%2fv1",
        "/v1%5cstops",
    ],
)
async def test_a_crooked_path_is_nobodys(house: TestHouse, path: str) -> None:
    """Whoever stands behind may read it as another path than the rules did."""
    api = Api(house)
    url = httpx.URL("https://api.test").copy_with(raw_path=path.encode())
    assert (await api.http.get(url)).status_code == 400


@pytest.mark.parametrize("header", ["ImFsZyI", "WyJhbGciXQ", "bnVsbA", "MQ"])
async def test_a_header_that_is_no_object_is_a_bad_token(house: TestHouse, header: str) -> None:
    """Nothing that a stranger sends makes the agency's API fail."""
    answer = await Api(house).get("/v1/stops", f"{header}.eyJhIjogMX0.YWFh")
    assert (answer.status_code, answer.json()) == (401, {"message": INVALID})
