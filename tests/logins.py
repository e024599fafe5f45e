"""What the tests of the login share: to stand on a page, to look behind it, to be the ministry."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import httpx
from sqlalchemy import select

from idp.kernel.tables import attempts, logins, sessions
from idp.verify.simulated.numbers import valid_pid
from idp.verify.twfido.settings import RETURN_PATH
from idp.verify.twfido.simulator.checksum import checksum
from tests.actors import Browser, Page, Service
from tests.house import API_KEY, CALLBACK, MINISTRY, SYSCODE, TestHouse

HAND = "A123456789"  # decides on the phone page
AT_ONCE = "A100000010"


async def chosen(
    browser: Browser, service: Service, method: str = "qr", number: str = HAND, **params: str
) -> Page:
    """From the service to the page after the first: waiting, or what went wrong."""
    await browser.open(service.url(**params))
    typed = "" if method == "web" else number
    return await browser.press("continue", method=method, pid=typed)


async def abroad(browser: Browser, method: str, number: str, button: str = "") -> Page:
    """From the page that leaves: there and back again, having pressed `button` there."""
    await browser.press("go")
    pressed = button or ("approve" if method == "web" else "use-dongle")
    await browser.press(pressed, **({"pid": number} if method == "web" else {}))
    return await browser.press("return")


def tab(browser: Browser) -> Browser:
    """Another tab of the same browser, on the same page."""
    other = Browser(browser.house)
    other.cookies, other.page = browser.cookies, browser.page
    return other


def path_of(page: Page) -> str:
    """/login/{id}, whatever button was pressed there."""
    return "/".join(httpx.URL(page.url).path.split("/")[:3])


async def again(browser: Browser) -> Page:
    """Reload."""
    return await browser.open(path_of(browser.page))


async def poll(browser: Browser, query: str = "") -> dict[str, Any]:
    """The page's script asks, later than a second after it asked before."""
    await forget_rates(browser.house)
    page = browser.page
    answer = await browser.open(f"{path_of(page)}/status{query}")
    browser.page = page
    assert answer.status == 200, answer.html
    return dict(answer.response.json())


async def until(happened: Callable[[], Any]) -> None:
    """Waits for what goes on beside us, at most five seconds."""
    async with asyncio.timeout(5):
        while not happened():  # noqa: ASYNC110 - there is nothing to be woken by
            await asyncio.sleep(0.005)


async def approved(house: TestHouse) -> None:
    """Until the ministry's own callback has woken the bridge and its answer is stored."""
    async with asyncio.timeout(5):
        while await states(house) != ["approved"]:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)


async def forget_rates(house: TestHouse) -> None:
    """Request rates go by real time; this is a second later."""
    await house.windows.reset()


def let_in(browser: Browser, page: Page) -> bool:
    """Whether the browser has a session, or a code is on its way."""
    cookies = browser.cookies.get("id.test", {})
    return "__Host-idp_session" in cookies or "code=" in page.url


def refused(page: Page, error: str = "access_denied") -> bool:
    return page.url.startswith(CALLBACK) and page.query["error"] == error


def people(count: int) -> list[str]:
    """Numbers of people who decide on their phone pages."""
    candidates = (f"B1{i:08d}" for i in itertools.count(20_000_000))
    return list(itertools.islice(filter(valid_pid, candidates), count))


def plain(page: Page) -> str:
    """The page without what is different each time."""
    assert page.texts["reference"]
    bare = page.html.replace(page.texts["reference"], "")
    bare = re.sub(r'name="csrf" value="[^"]+"', "", bare)
    bare = re.sub("<time>[^<]+</time>", "", bare)
    return re.sub(r"/login/[\w-]{22}", "/login/x", bare)


def status_of(page: Page) -> str:
    """The query with which this page polls."""
    found = re.search(r'data-status="[^"?]+(\?[^"]+)"', page.html)
    assert found
    return found[1]


# ── behind the page ─────────────────────────────────────────────────────────────────────────────


async def rows(house: TestHouse, table: Any = attempts) -> list[dict[str, Any]]:
    return [dict(row) for row in await house.services.database.all(select(table))]


async def states(house: TestHouse) -> list[str]:
    """Of all attempts, oldest first."""
    found = sorted(await rows(house), key=lambda row: (row["opened_at"], row["state"]))
    return [row["state"] for row in found]


async def the_login(house: TestHouse) -> dict[str, Any]:
    (found,) = await rows(house, logins)
    return found


async def nobody_is_in(house: TestHouse) -> bool:
    return not await rows(house, sessions)


def qrids(house: TestHouse) -> list[str]:
    """Of the upstream's transactions, oldest first."""
    return list(house.simulator.transactions)


def asked_for(house: TestHouse) -> int:
    """How often FATH-02 was called."""
    return house.line.calls.count("FATH-02")


def rung(house: TestHouse) -> int:
    """How often a phone rang."""
    return sum(1 for r in house.simulator.ledger if (r.event, r.interface) == ("opened", "FATH-01"))


async def weather(house: TestHouse, **faults: Any) -> None:
    """What befalls the upstream's interfaces from now on (FATH_02 for FATH-02)."""
    transport = httpx.ASGITransport(house.upstreams["fido.test"])
    named = {name.replace("_", "-"): fault for name, fault in faults.items()}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as control:
        answer = await control.post("/control", json={"faults": named})
    assert answer.status_code == 200, answer.text


# ── as the ministry, or whoever pretends ────────────────────────────────────────────────────────


def signed(qrid: str, rcode: str = "0000", key: str = API_KEY, **changes: Any) -> dict[str, Any]:
    """A callback as the simulator would send it."""
    fields = {"qrid": qrid, "tranSeq": "20261122000000000001", "pid": HAND, "msg": ""}
    fields |= {"rcode": rcode, "syscode": SYSCODE}
    return {**fields, "chksum": checksum(key, rcode, fields["tranSeq"]), **changes}


async def call_back(
    house: TestHouse, fields: dict[str, Any] | bytes, address: str = MINISTRY, **headers: str
) -> httpx.Response:
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    kind = {"content-type": "application/json", **headers}
    return await house.http(address).post("/twfido/callback", content=body, headers=kind)


def carried(qrid: str, pid: str = HAND, rcode: str = "0000", key: str = API_KEY) -> dict[str, str]:
    """What a browser brings back from the pages of web redirect and dongle."""
    fields = {"qrid": qrid, "op": "Auth", "pid": pid, "msg": "", "rcode": rcode}
    return {**fields, "chksum": checksum(key, pid, rcode)}


async def land(browser: Browser, fields: dict[str, str]) -> Page:
    """A form of another site sends this browser to our return address."""
    return await browser.arrive(RETURN_PATH, fields)
