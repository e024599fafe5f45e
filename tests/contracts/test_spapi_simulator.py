"""The pretend SP-API: what it signs, whom it believes, and what it notices."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import re
import uuid
from typing import Any

import httpx
import pytest

from idp.verify.simulated.people import OTHER_PERSON
from idp.verify.spapi.simulator import Authority, SimulatedService, create_simulator
from idp.verify.spapi.simulator.checksum import checksum, fits
from idp.verify.spapi.simulator.personas import PERSONAS
from idp.verify.spapi.simulator.ticket import transaction_of

KEY = base64.b64encode(b"a key of the tests, of 32 bytes.").decode()
SERVICE_ID = "SP-TEST-0001"
RETURN = "http://rp.test/return?a=1"
STEADY, LATER, DENIES, SILENT, STRANGER, FAILS, BROKEN, WAITS, SPOILT, OTHER, SLOW, EARLY = PERSONAS
ANYONE = "B222222228"
AUTHORITY = Authority()
PATHS = {
    "ATH-01": "/moise/sp/getSpTicket",
    "ATH-02": "/moise/sp/getAthOrSignResult",
    "ATH-03": "/moise/sp/requestAthOrSignPush",
    "WEB-01": "/fidoRedirect/web",
    "LF-01": "/moise/sp/checkDeviceStatus",
}
SIGNED = {
    "ATH-01": ("transaction_id", "sp_service_id", "id_num", "op_code", "op_mode", "hint", "data"),
    "ATH-02": ("transaction_id", "sp_service_id", "sp_ticket_id"),
    "ATH-03": ("transaction_id", "sp_service_id", "id_num", "op_code", "hint", "data"),
    "WEB-01": ("transaction_id", "sp_service_id", "op_code", "hint", "sign_data"),
    "LF-01": ("transaction_id", "sp_service_id", "id_num"),
}
SERVICE = SimulatedService(SERVICE_ID, KEY, "戶役政 <1>", RETURN)


class Bench:
    """A simulator in process and a clock that stands still."""

    def __init__(self) -> None:
        self.time = 1_600_000_000.0
        self.slept: list[float] = []
        self.app = create_simulator(
            [SERVICE], clock=lambda: self.time, sleep=self._sleep, authority=AUTHORITY
        )
        self.world = self.app.state.simulator
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://localhost:8100"
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def signed(self, name: str, **fields: Any) -> dict[str, Any]:
        known = {"transaction_id": str(uuid.uuid4()), "sp_service_id": SERVICE_ID}
        if name in ("ATH-01", "ATH-03", "WEB-01"):
            known |= {"op_code": "ATH", "hint": "登入"}
        if name == "ATH-01":
            known["op_mode"] = "I-SCAN"
        whole = {**known, **fields}
        data = whole.get("sign_info", {}).get("sign_data", "")
        parts = [str(whole.get(n, "")) if n != "data" else data for n in SIGNED[name]]
        return {"sp_checksum": checksum(KEY, *parts), **whole}

    async def call(self, name: str, **fields: Any) -> dict[str, Any]:
        return await self.send(name, self.signed(name, **fields))

    async def send(self, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        answer = await self.http.post(PATHS[name], json=fields)
        assert answer.status_code == 200
        return dict(answer.json())

    async def opened(self, name: str, pid: str, **fields: Any) -> dict[str, str]:
        """What ATH-02 needs for the ticket that was opened."""
        answer = await self.call(name, id_num=pid, **fields)
        assert answer["error_code"] == "0", answer
        found = read_ticket(answer["result"]["sp_ticket"])
        return {name: found[name] for name in ("transaction_id", "sp_ticket_id")}

    async def result(self, ticket: dict[str, str]) -> str:
        return bare((await self.call("ATH-02", **ticket))["error_code"])

    async def control(self, path: str = "/control", **body: Any) -> httpx.Response:
        return await self.http.post(path, json=body)


def read_ticket(text: str) -> dict[str, str]:
    first = text.rpartition(".")[0]
    return dict(json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4))))


def bare(code: Any) -> str:
    return re.sub(r"^SP-API-\w+-\d+-", "", str(code)).partition(":")[0]


def hidden(page: httpx.Response) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
    return {name: html.unescape(value) for name, value in found}


@pytest.fixture
def bench() -> Bench:
    return Bench()


# ── servers ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "mode"), [("ATH-01", "I-SCAN"), ("ATH-03", "PUSH")])
async def test_opening(bench: Bench, name: str, mode: str) -> None:
    """An opening answers a ticket that repeats the request, signed with the transaction."""
    request = bench.signed(name, id_num=ANYONE, time_limit=180)
    answer = await bench.send(name, request)
    result = answer["result"]
    said = read_ticket(result["sp_ticket"])
    assert (said["transaction_id"], said["op_mode"], said["sp_name"]) == (
        request["transaction_id"],
        mode,
        "戶役政 <1>",
    )
    parts = (request["transaction_id"], "0", result["sp_ticket"])
    assert fits(KEY, result["idp_checksum"], *parts)
    assert transaction_of(result["sp_ticket"]) == request["transaction_id"]
    assert ANYONE not in str(said)


async def test_the_result_of_a_push(bench: Bench) -> None:
    """A push is pending until its person decides; then ATH-02 names no number, only its hash, and
    brings the signature over what was asked for."""
    ticket = await bench.opened("ATH-03", ANYONE, sign_info={"sign_data": "words"})
    assert await bench.result(ticket) == "20002"
    bench.world.approve(ticket["transaction_id"])
    answer = await bench.call("ATH-02", **ticket)
    result = answer["result"]
    assert (answer["error_code"], result["signed_response"]) == ("0", AUTHORITY.sign("words"))
    assert ANYONE not in str(answer)
    parts = (result["hashed_id_num"], result["signed_response"])
    assert fits(KEY, result["idp_checksum"], ticket["transaction_id"], "0", *parts)


@pytest.mark.parametrize(
    ("pid", "expected"),
    [
        (STEADY, ["0", "0", "0", "0"]),
        (LATER, ["20002", "0", "0", "0"]),
        (DENIES, ["APP_USER_CANCEL"] * 4),
        (SILENT, ["20002", "20002", "20002", "SPTKT_OVD"]),
        (FAILS, ["APP_SIGN_FAILURE"] * 4),
        (BROKEN, ["UNDEFINED"] * 4),
        (WAITS, ["20003", "20003", "0", "0"]),
        (EARLY, ["SPTKTID_TXNLOG_NF", "0", "0", "0"]),
        (ANYONE, ["20002", "20002", "20002", "SPTKT_OVD"]),
    ],
)
async def test_personas(bench: Bench, pid: str, expected: list[str]) -> None:
    """Asked at 0, 3, 179 and 180 s, each persona's result is what the table promises."""
    start, heard = bench.time, []
    ticket = await bench.opened("ATH-01", pid, time_limit=180)
    for age in (0, 3, 179, 180):
        bench.time = start + age
        heard.append(await bench.result(ticket))
    assert expected == heard


async def test_not_registered(bench: Bench) -> None:
    """A100000056 opens nothing, and LF-01 says why."""
    answer = await bench.call("ATH-01", id_num=STRANGER)
    assert answer["error_code"].startswith("SP-API-ATH-01-IDNUM_DEVPROF_NF: ")
    status = await bench.call("LF-01", id_num=STRANGER)
    assert status["result"]["is_fido"] == "N"
    assert (await bench.call("LF-01", id_num=ANYONE))["result"]["is_fido"] == "Y"
    assert bare((await bench.call("LF-01", id_num=BROKEN))["error_code"]) == "UNDEFINED"
    assert bench.world.transactions == {}


async def test_wrong_checksum_and_other_person(bench: Bench) -> None:
    """A100000092's result is signed wrongly, A100000109's has somebody else's hash, signed
    rightly."""
    spoilt, other = await bench.opened("ATH-03", SPOILT), await bench.opened("ATH-03", OTHER)
    one, two = [(await bench.call("ATH-02", **t))["result"] for t in (spoilt, other)]
    signed = (one["hashed_id_num"], one["signed_response"])
    assert not fits(KEY, one["idp_checksum"], spoilt["transaction_id"], "0", *signed)
    assert two["hashed_id_num"] == bench.world.hashed(OTHER_PERSON)
    signed = (two["hashed_id_num"], two["signed_response"])
    assert fits(KEY, two["idp_checksum"], other["transaction_id"], "0", *signed)


async def test_slow_answers(bench: Bench) -> None:
    """Each answer about A100000118 takes six seconds, others take none."""
    await bench.result(await bench.opened("ATH-03", STEADY))
    assert bench.slept == []
    await bench.result(await bench.opened("ATH-03", SLOW))
    assert bench.slept == [6, 6]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"id_num": "A123456788"}, "PM_IDN_FT_ERR"),
        ({"id_num": ""}, "PM_IDN_FT_ERR"),
        ({"time_limit": 29}, "SPTKT_TIME_ORV"),
        ({"time_limit": 601}, "SPTKT_TIME_ORV"),
        ({"time_limit": "x"}, "SPTKT_TIME_ORV"),
        ({"sign_info": {"sign_data": "x" * 1025}}, "SIGNDATA_LEN_LIMIT"),
        ({"op_mode": "PUSH"}, "PM_INV_NF"),
        ({"op_code": "SIGN"}, "PM_INV_NF"),
        ({"hint": ""}, "PM_INV_NF"),
        ({"transaction_id": ""}, "PM_INV_NF"),
        ({"sp_service_id": "NOBODY"}, "SPSVCID_NF"),
    ],
    ids=str,
)
async def test_refused_requests(bench: Bench, change: dict[str, Any], expected: str) -> None:
    """What is malformed or from an unknown service is refused with the right code."""
    answer = await bench.call("ATH-01", **{"id_num": ANYONE, **change})
    assert bare(answer["error_code"]) == expected
    assert bench.world.transactions == {}


@pytest.mark.parametrize("change", [{"sp_checksum": "0" * 184}, {"sp_checksum": ""}, {"hint": "x"}])
async def test_a_wrong_checksum_of_ours(bench: Bench, change: dict[str, str]) -> None:
    """A request that is not signed, or changed after it was, opens nothing."""
    answer = await bench.send("ATH-01", bench.signed("ATH-01", id_num=ANYONE) | change)
    assert bare(answer["error_code"]) == "INV_SP_CHECKSUM"
    assert bench.world.ledger[-1].event == "refused"


async def test_a_reused_iv_is_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second message under one IV is refused and written down: it would give the key away."""
    monkeypatch.setattr("idp.verify.spapi.simulator.checksum.os.urandom", lambda n: b"\7" * n)
    assert (await bench.call("ATH-03", id_num=ANYONE))["error_code"] == "0"
    again = await bench.call("ATH-03", id_num=ANYONE)
    assert bare(again["error_code"]) == "INV_SP_CHECKSUM"
    assert "reused_iv" in [row.event for row in bench.world.ledger]


async def test_a_reused_transaction_is_noticed(bench: Bench) -> None:
    """A transaction_id opens once, whatever else the second request says; asking is not opening."""
    request = bench.signed("ATH-03", id_num=STEADY)
    first = await bench.send("ATH-03", request)
    ticket = read_ticket(first["result"]["sp_ticket"])
    fields = {name: ticket[name] for name in ("transaction_id", "sp_ticket_id")}
    again = await bench.call("ATH-01", id_num=ANYONE, transaction_id=request["transaction_id"])
    assert bare(again["error_code"]) == "TXNLOG_INS_ERR"
    assert [await bench.result(fields) for _ in range(2)] == ["0", "0"]


async def test_foreign_tickets(bench: Bench) -> None:
    """An unknown ticket, another transaction's and another service's are not found."""
    ticket, other = await bench.opened("ATH-03", STEADY), await bench.opened("ATH-03", STEADY)
    mixed = ticket | {"sp_ticket_id": other["sp_ticket_id"]}
    unknown = ticket | {"transaction_id": str(uuid.uuid4())}
    second = SimulatedService("SP-2", KEY, "其他", RETURN)
    bench.world.services["SP-2"] = second
    theirs = await bench.call("ATH-02", **ticket, sp_service_id="SP-2")
    heard = [await bench.result(mixed), await bench.result(unknown), bare(theirs["error_code"])]
    assert heard == ["SPTKTID_SPTKT_NF"] * 3


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{", b"[" * 60_000, b'"x"', b"\xff", b"{}", b" " * 70_000),
        *(b'{"transaction_id":{}}', b'{"transaction_id":true}'),
    ],
)
async def test_unreadable_bodies(bench: Bench, body: bytes) -> None:
    """A body that is not a JSON object of reasonable size is PM_INV_NF, never a crash."""
    answer = await bench.http.post(PATHS["ATH-02"], content=body)
    assert bare(answer.json()["error_code"]) == "PM_INV_NF"


async def test_half_a_character(bench: Bench) -> None:
    """A lone surrogate in a field is refused like any wrong checksum."""
    request = bench.signed("ATH-01", id_num=ANYONE)
    body = json.dumps(request | {"hint": "\ud800"}).encode()
    answer = await bench.http.post(PATHS["ATH-01"], content=body)
    assert bare(answer.json()["error_code"]) == "INV_SP_CHECKSUM"


# ── browsers and phones ─────────────────────────────────────────────────────────────────────────


async def visited(bench: Bench, **fields: str) -> tuple[dict[str, Any], httpx.Response]:
    request = bench.signed("WEB-01", time_limit="180", sign_data="words", **fields)
    return request, await bench.http.post(PATHS["WEB-01"], data=request)


@pytest.mark.parametrize(
    ("pid", "action", "code"),
    [
        (STEADY, "approve", "0"),
        (STEADY, "deny", "APP_USER_CANCEL"),
        (STEADY, "cancel", "APP_USER_CANCEL"),
        (LATER, "approve", "0"),
        (DENIES, "approve", "APP_USER_CANCEL"),
        (SILENT, "approve", "SPTKT_OVD"),
        (FAILS, "approve", "APP_SIGN_FAILURE"),
        (BROKEN, "approve", "UNDEFINED"),
        (ANYONE, "approve", "0"),
    ],
)
async def test_web_redirect(bench: Bench, pid: str, action: str, code: str) -> None:
    """WEB-01 brings the browser back with a signed form, and ATH-02 agrees with it."""
    request, page = await visited(bench)
    assert page.status_code == 200
    assert "戶役政 &lt;1&gt;" in page.text
    transaction = request["transaction_id"]
    back = await bench.http.post(f"/browser/{transaction}", data={"action": action, "pid": pid})
    fields = hidden(back)
    assert f'action="{html.escape(RETURN)}"' in back.text
    assert (fields["transaction_id"], bare(fields["error_code"])) == (transaction, code)
    assert fields["id_num"] == (pid if code == "0" else "")
    parts = (fields["error_code"], fields["id_num"], fields["signed_response"])
    assert fits(KEY, fields["idp_checksum"], transaction, *parts)
    assert await bench.result({"transaction_id": transaction, "sp_ticket_id": ""}) == code


async def test_a_second_click_changes_nothing(bench: Bench) -> None:
    """A second click brings the first decision back."""
    request, _ = await visited(bench)
    url = f"/browser/{request['transaction_id']}"
    await bench.http.post(url, data={"action": "deny", "pid": STEADY})
    again = hidden(await bench.http.post(url, data={"action": "approve", "pid": STEADY}))
    assert bare(again["error_code"]) == "APP_USER_CANCEL"


@pytest.mark.parametrize("change", [{"sp_checksum": "0" * 184}, {"sp_service_id": "NOBODY"}])
async def test_refused_arrival(bench: Bench, change: dict[str, str]) -> None:
    """A request that is not properly signed gets an error page and is never redirected."""
    fields = bench.signed("WEB-01", sign_data="words") | change
    page = await bench.http.post(PATHS["WEB-01"], data=fields)
    assert (page.status_code, 'id="error-code"' in page.text) == (400, True)


@pytest.mark.parametrize(("decision", "code"), [("approve", "0"), ("deny", "APP_USER_CANCEL")])
async def test_phone(bench: Bench, decision: str, code: str) -> None:
    """The phone page lists a person's requests with name and hint, and decides them."""
    ticket = await bench.opened("ATH-03", ANYONE)
    page = await bench.http.get("/phone", params={"pid": ANYONE})
    handle = ticket["transaction_id"]
    assert f'id="{decision}-{handle}"' in page.text and "登入" in page.text
    done = await bench.http.post(f"/phone/{handle}", data={**hidden(page), "decision": decision})
    assert done.status_code == 303
    assert await bench.result(ticket) == code


async def test_phone_scan(bench: Bench) -> None:
    """Scanning opens the one request of the ticket, on that person's phone only."""
    answer = await bench.call("ATH-01", id_num=ANYONE)
    ticket = answer["result"]["sp_ticket"]
    scanned = await bench.http.get("/phone", params={"qr": ticket})
    foreign = await bench.http.get("/phone", params={"qr": ticket, "pid": STEADY})
    for nonsense in ("hello", "a.b", "§.§", ticket[:-1]):
        assert (await bench.http.get("/phone", params={"qr": nonsense})).status_code == 400
    assert 'id="approve-' in scanned.text
    assert (foreign.status_code, "approve-" in foreign.text) == (400, False)


@pytest.mark.parametrize(
    ("rtn_url", "led"),
    [
        (base64.urlsafe_b64encode(RETURN.encode()).decode().rstrip("="), f"{RETURN}&rtn_val=eA"),
        (RETURN, f"{RETURN}&rtn_val=eA"),
        ("http://elsewhere.test/", f"/phone?pid={ANYONE}"),
        ("", f"/phone?pid={ANYONE}"),
    ],
)
async def test_the_app_link(bench: Bench, rtn_url: str, led: str) -> None:
    """The link shows the ticket's request, and leads back to the service's own address only."""
    answer = await bench.call("ATH-01", id_num=ANYONE)
    query = {"sp_ticket": answer["result"]["sp_ticket"], "rtn_url": rtn_url, "rtn_val": "eA"}
    page = await bench.http.get("/a2a/verifySign", params=query)
    back = await bench.http.post("/a2a/verifySign", data={**hidden(page), "decision": "approve"})
    assert (back.status_code, back.headers["location"]) == (303, led)
    assert next(iter(bench.world.transactions.values())).outcome == "approved"


@pytest.mark.parametrize("path", ["/", "/phone", "/simulator.css", "/ledger", "/issuers.pem"])
async def test_pages_are_there(bench: Bench, path: str) -> None:
    """Every page and file that the front page leads to can be fetched."""
    assert (await bench.http.get(path)).status_code == 200


async def test_the_front_page_hides_keys(bench: Bench) -> None:
    """The front page explains all personas and shows no key."""
    page = (await bench.http.get("/")).text
    assert all(pid in page for pid in PERSONAS)
    assert KEY not in page and KEY not in repr(SERVICE)


# ── control ─────────────────────────────────────────────────────────────────────────────────────


async def test_control(bench: Bench) -> None:
    """A test approves by transaction, turns the clock, adds a service and resets it all."""
    ticket = await bench.opened("ATH-03", ANYONE)
    handle = ticket["transaction_id"]
    answers = [
        (await bench.control("/control/approve", transaction_id=t)).status_code
        for t in (handle, handle, "nothing")
    ]
    assert answers == [200, 409, 404]
    added = await bench.control(
        "/control/systems", sp_service_id="SP-3", aes_key=KEY, name="n", return_url="http://x.test"
    )
    refused = await bench.control(
        "/control/systems", sp_service_id="SP-4", aes_key="x", name="n", return_url="http://x.test"
    )
    assert (added.status_code, refused.status_code) == (201, 400)
    rows = (await bench.http.get("/ledger")).json()
    assert [row["event"] for row in rows] == ["opened", "approved"]
    assert rows[1]["transaction_id"] == handle
    await bench.control("/control/reset")
    assert (list(bench.world.services), bench.world.ledger) == ([SERVICE_ID], [])


LIES: list[tuple[dict[str, Any], bool]] = [
    ({"bad_checksum": True}, False),
    ({"short_checksum": True}, False),
    ({"unsigned": True}, False),
    ({"wrong_transaction": True}, False),
    ({"swapped": True}, False),
    ({"upper_checksum": True}, True),
    ({"other_person": True}, True),
    ({"as_number": True}, True),
    ({"bad_signature": True}, True),
]


@pytest.mark.parametrize(("fault", "fitting"), LIES, ids=str)
async def test_lies(bench: Bench, fault: dict[str, Any], fitting: bool) -> None:
    """Some lies are signed rightly, so that the checksum alone does not give them away."""
    ticket = await bench.opened("ATH-03", STEADY, sign_info={"sign_data": "words"})
    await bench.control(faults={"ATH-02": fault})
    answer = await bench.call("ATH-02", **ticket)
    result = answer["result"]
    parts = (str(answer["error_code"]), result["hashed_id_num"], result["signed_response"])
    given = result["idp_checksum"]
    fits_now = len(given) == 184 and fits(KEY, given, ticket["transaction_id"], *parts)
    assert fits_now is fitting
    assert isinstance(answer["error_code"], int) is ("as_number" in fault)


async def test_results_that_are_told_once(bench: Bench) -> None:
    """With `once` a second question is told that the ticket was used."""
    ticket = await bench.opened("ATH-03", STEADY)
    await bench.control(faults={"ATH-02": "once"})
    assert [await bench.result(ticket) for _ in range(2)] == ["0", "SPTKTID_SPTKT_RDM"]


async def test_any_code_can_be_ordered(bench: Bench) -> None:
    """`code` answers what a test wants, signed."""
    ticket = await bench.opened("ATH-03", STEADY)
    await bench.control(faults={"ATH-02": {"code": "SOMETHING_NEW: x"}})
    assert (await bench.call("ATH-02", **ticket))["error_code"] == "SOMETHING_NEW: x"


@pytest.mark.parametrize(
    "change", [{"sp_service_id": ""}, {"aes_key": "xyz"}, {"name": ""}, {"return_url": "ftp://x"}]
)
def test_faulty_services(change: dict[str, str]) -> None:
    """A service that could never work is refused when it is described."""
    good = {"sp_service_id": "SP-1", "aes_key": KEY, "name": "n", "return_url": "http://x.test/"}
    with pytest.raises(ValueError, match=r"."):
        SimulatedService(**{**good, **change})


def test_not_beside_production() -> None:
    """It does not start beside an issuer that real people use."""
    with pytest.raises(ValueError, match="production issuer"):
        create_simulator([SERVICE], beside_issuer="https://id.gov.example")
