"""The pretend TW FidO towards people and testers: the pages and the phone."""

from __future__ import annotations

import asyncio
import html
import itertools
import re
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from idp.verify.twfido.simulator import SimulatedSystem, create_simulator
from idp.verify.twfido.simulator.checksum import checksum
from idp.verify.twfido.simulator.personas import PERSONAS

KEY = "59C55AAD2AEADF8A87EC55317CA148E7"  # published on the ministry's own slide
SYSCODE = "20190326031900012556"
STEADY, LATER, DENIES, SILENT, STRANGER, FAILS, BROKEN, *_ = PERSONAS
ANYONE = "B222222228"
SYSTEM = SimulatedSystem(SYSCODE, KEY, "戶役政 <1>", "http://rp.test/return?a=1")


class Bench:
    """A simulator in process, a clock that stands still, and a browser that runs no script."""

    def __init__(self, return_method: Literal["post", "get"] = "post") -> None:
        self.time = 1_600_000_000.0
        self.slept: list[float] = []
        self.app = create_simulator(
            [SYSTEM], clock=lambda: self.time, sleep=self._sleep, return_method=return_method
        )
        self.world = self.app.state.simulator
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://localhost:8100"
        )
        self._numbers = itertools.count(1)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def signed(self, *names: str, **fields: str) -> dict[str, str]:
        fields = {"syscode": SYSCODE, "tranSeq": str(next(self._numbers)), **fields}
        return {"chksum": checksum(KEY, *(fields[n] for n in names)), **fields}

    async def page(self, pid: str = "") -> httpx.Response:
        """Arrive at FWEB-01, or with a pid at CTAP-01."""
        if pid:
            fields = self.signed("pid", "syscode", "tranSeq", pid=pid)
            return await self.http.post("/rp-api-ctap-01", data=fields)
        return await self.http.post("/rp-api-fweb-01", data=self.signed("syscode", "tranSeq"))

    async def click(self, page: httpx.Response, action: str, **fields: str) -> httpx.Response:
        return await self.http.post(form_action(page), data={"action": action, **fields})

    async def push(self, pid: str, name: str = "fath-01") -> str:
        fields = self.signed("pid", "syscode", "tranSeq", pid=pid)
        return str((await self.http.post(f"/rp-api-{name}", json=fields)).json()["qrid"])

    async def poll(self, qrid: str) -> dict[str, Any]:
        fields = self.signed("qrid", "syscode", "tranSeq", qrid=qrid)
        answer = await self.http.post("/rp-api-fath-02", json=fields)
        return {"tranSeq sent": fields["tranSeq"], **answer.json()}

    async def control(self, path: str = "/control", **body: Any) -> httpx.Response:
        return await self.http.post(path, json=body)


def form_action(page: httpx.Response) -> str:
    found = re.search(r'<form action="([^"]+)"', page.text)
    assert found
    return html.unescape(found[1])


def hidden(page: httpx.Response) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
    return {name: html.unescape(value) for name, value in found}


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("pid", "action", "browser", "polled"),
    [
        (STEADY, "approve", "0000", "0000"),
        (STEADY, "deny", "5002", "9004"),
        (STEADY, "cancel", "5002", "9004"),
        (LATER, "approve", "0000", "0000"),
        (DENIES, "approve", "5002", "9004"),
        (SILENT, "approve", "5003", "2003"),
        (STRANGER, "approve", "5002", "2002"),
        (FAILS, "approve", "5002", "2002"),
        (BROKEN, "approve", "5002", "9999"),
        (ANYONE, "approve", "0000", "0000"),
    ],
)
async def test_web_redirect(bench: Bench, pid: str, action: str, browser: str, polled: str) -> None:
    """FWEB-01 brings the browser back with a signed form, and FATH-02 agrees with it."""
    back = await bench.click(await bench.page(), action, pid=pid)
    fields = hidden(back)
    result = await bench.poll(fields["qrid"])
    assert form_action(back) == "http://rp.test/return?a=1"
    assert 'id="return"' in back.text
    assert (pid, browser, "Auth") == (fields["pid"], fields["rcode"], fields["op"])
    assert checksum(KEY, pid, browser) == fields["chksum"]
    assert polled == result["rcode"]
    assert result.get("pid", pid) == pid


async def test_web_page(bench: Bench) -> None:
    """The page of FWEB-01 offers A100000010 first, approval as the first button, and 02:59."""
    page = await bench.page()
    assert "02:59" in page.text
    assert "戶役政 &lt;1&gt;" in page.text
    assert re.findall(r'<button [^>]*id="([^"]+)"', page.text) == ["approve", "deny", "cancel"]
    assert re.findall(r'<option value="([^"]+)"', page.text)[0] == STEADY
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script>" not in page.text


async def test_web_by_get(bench: Bench) -> None:
    """The browser may arrive at FWEB-01 with a query as well."""
    page = await bench.http.get("/rp-api-fweb-01", params=bench.signed("syscode", "tranSeq"))
    assert (page.status_code, "02:59" in page.text) == (200, True)


async def test_dongle(bench: Bench) -> None:
    """CTAP-01 approves for the pid that was sent; the way back masks it, FATH-02 does not."""
    page = await bench.page(ANYONE)
    assert re.findall(r'<button [^>]*id="([^"]+)"', page.text) == [
        "regenerate",
        "cancel",
        "use-dongle",
    ]
    assert "B2****2228" in page.text
    assert ANYONE not in page.text
    fields = hidden(await bench.click(page, "use-dongle", pid=STEADY))
    assert checksum(KEY, "B2****2228", "0000") == fields["chksum"]
    assert (await bench.poll(fields["qrid"]))["pid"] == ANYONE


async def test_dongle_waits_for_the_click(bench: Bench) -> None:
    """Behind a browser page even A100000010 decides only by clicking."""
    page = await bench.page(STEADY)
    qrid = form_action(page).rpartition("/")[2]
    assert (await bench.poll(qrid))["rcode"] == "2001"


async def test_regenerate(bench: Bench) -> None:
    """重新產生 ends the old qrid and opens a new one with a new countdown."""
    first = await bench.page(ANYONE)
    bench.time += 100
    second = await bench.click(first, "regenerate")
    old, new = (form_action(p).rpartition("/")[2] for p in (first, second))
    assert "02:59" in second.text
    assert ((await bench.poll(old))["rcode"], (await bench.poll(new))["rcode"]) == ("2003", "2001")


async def test_late_click(bench: Bench) -> None:
    """A click after 180 s brings 5003 back, and nobody is approved."""
    page = await bench.page()
    bench.time += 180
    fields = hidden(await bench.click(page, "approve", pid=STEADY))
    assert (fields["rcode"], fields["pid"]) == ("5003", "")
    assert (await bench.poll(fields["qrid"]))["rcode"] == "2003"


async def test_second_click(bench: Bench) -> None:
    """A second click cannot change the first decision."""
    page = await bench.page()
    first = await bench.click(page, "deny", pid=STEADY)
    assert hidden(first) == hidden(await bench.click(page, "approve", pid=STEADY))


@pytest.mark.parametrize("change", [{"chksum": "0" * 16}, {"syscode": "1" * 20}, {"tranSeq": ""}])
async def test_refused_arrival(bench: Bench, change: dict[str, str]) -> None:
    """A request that is not properly signed gets an error page and is never redirected."""
    fields = {**bench.signed("syscode", "tranSeq"), **change}
    page = await bench.http.post("/rp-api-fweb-01", data=fields)
    assert (page.status_code, 'id="error-code"' in page.text) == (400, True)


@pytest.mark.parametrize("fields", [{"pid": "A123456788"}, {"pid": ""}, {"other": "<b>"}])
async def test_web_page_needs_a_person(bench: Bench, fields: dict[str, str]) -> None:
    """Nobody is approved without a valid number."""
    page = await bench.click(await bench.page(), "approve", **fields)
    assert page.status_code == 400


async def test_return_by_get() -> None:
    """With return_method get the browser comes back by a 303 whose query carries the result."""
    bench = Bench("get")
    back = await bench.click(await bench.page(), "approve", other="ｂ222222228 ")
    query = dict(parse_qsl(urlsplit(back.headers["location"]).query))
    assert back.status_code == 303
    assert (query["a"], query["pid"], query["rcode"]) == ("1", ANYONE, "0000")


@pytest.mark.parametrize(("decision", "rcode"), [("approve", "0000"), ("deny", "9004")])
async def test_phone(bench: Bench, decision: str, rcode: str) -> None:
    """The phone page lists a person's requests and decides them without any script."""
    qrid = await bench.push(ANYONE)
    page = await bench.http.get("/phone", params={"pid": " ｂ222222228"})
    assert f'id="{decision}-{qrid}"' in page.text
    assert "您是否正在嘗試登入" in page.text
    data = {**hidden(page), "decision": decision}
    done = await bench.http.post(f"/phone/{qrid}", data=data)
    after = await bench.http.get(done.headers["location"])
    assert done.status_code == 303
    assert (qrid in after.text, 'role="status"' in after.text) == (False, True)
    assert rcode == (await bench.poll(qrid))["rcode"]


async def test_phone_scan(bench: Bench) -> None:
    """Scanning opens the one request of the code, on that person's phone only."""
    qrid = await bench.push(ANYONE, "fexch-01")
    content = f'{{"qrid":"{qrid}","op":"Nty","sysaction":"x","sysname":"y"}}'
    scanned = await bench.http.get("/phone", params={"qr": content})
    foreign = await bench.http.get("/phone", params={"qr": content, "pid": STEADY})
    nonsense = await bench.http.get("/phone", params={"qr": "hello"})
    assert f'id="approve-{qrid}"' in scanned.text
    assert (foreign.status_code, "approve-" in foreign.text) == (400, False)
    assert nonsense.status_code == 400


async def test_phone_of_another_person(bench: Bench) -> None:
    """One person's phone cannot decide another's request."""
    qrid = await bench.push(ANYONE)
    done = await bench.http.post(f"/phone/{qrid}", data={"pid": STEADY, "decision": "approve"})
    assert (done.status_code, (await bench.poll(qrid))["rcode"]) == (404, "2001")


@pytest.mark.parametrize("path", ["/", "/phone", "/simulator.css", "/simulator.js", "/ledger"])
async def test_pages_are_there(bench: Bench, path: str) -> None:
    """Every page and file that the front page leads to can be fetched."""
    assert (await bench.http.get(path)).status_code == 200


async def test_front_page_hides_keys(bench: Bench) -> None:
    """The front page explains all personas and shows no key."""
    page = (await bench.http.get("/")).text
    assert all(pid in page for pid in PERSONAS)
    assert KEY not in page
    assert KEY not in repr(SYSTEM)
