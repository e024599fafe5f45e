"""The SP-API's client against its simulator, in process. The simulator was written from what is
publicly known and not from our client."""

from __future__ import annotations

import asyncio
import base64
import html
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
from pydantic import SecretStr

from idp.verify import Challenge, Ports
from idp.verify.spapi.rules import Handle
from idp.verify.spapi.settings import SpApiSettings
from idp.verify.spapi.simulator import Authority, SimulatedService, create_simulator
from idp.verify.spapi.verifier import SpApi
from tests.contracts.ministry import NoAccounts
from tests.rules.twfido_upstream import Numbers

SERVICE_ID = "SP-TEST-0001"
KEY = base64.b64encode(b"a key of the tests, of 32 bytes.").decode()
RETURN = "https://idp.test/spapi/return"
FAST = 10  # how much faster than life slow answers are
AUTHORITY = Authority()


class Successor:
    """The simulator in process and a clock that we turn. With `issuers` (a file that it writes)
    signatures are verified, and required if `require`."""

    def __init__(
        self, total_timeout: float = 8, issuers: Path | None = None, require: bool = False
    ) -> None:
        self.now = datetime(2026, 7, 31, 9, 0, tzinfo=UTC).timestamp()
        app = create_simulator(
            [SimulatedService(SERVICE_ID, KEY, "示範服務", RETURN)],
            public_url="http://simulator.test",
            clock=lambda: self.now,
            sleep=lambda seconds: asyncio.sleep(seconds / FAST),
            authority=AUTHORITY,
        )
        self.world = app.state.simulator
        line = httpx.ASGITransport(app)
        self.http = httpx.AsyncClient(transport=line, base_url="http://simulator.test")
        if issuers:
            issuers.write_bytes(AUTHORITY.pem)
        self.verifier = SpApi(
            SpApiSettings(
                api_url="http://simulator.test",
                sp_service_id=SERVICE_ID,
                keys=(SecretStr(KEY),),
                total_timeout=total_timeout,
                issuing_certificates=issuers,
                signed_response="require" if require else "record",
            ),
            Ports(
                line,
                Numbers(),
                NoAccounts(),
                time.monotonic,
                lambda: int(self.now),
                "https://idp.test",
            ),
        )

    async def decide(self, handle: str, yes: bool) -> None:
        transaction = Handle.read(handle).transaction_id
        (self.world.approve if yes else self.world.deny)(transaction)

    async def browse(self, challenge: Challenge, **form: str) -> dict[str, str]:
        """What a person's browser brings back from the page of WEB-01."""
        assert challenge.action is not None
        page = await self.http.post(challenge.action, data=dict(challenge.fields))
        assert page.status_code == 200
        found = re.search(r'action="(/browser/[0-9a-f-]{36})"', page.text)
        assert found is not None
        back = await self.http.post(found[1], data=form)
        fields = re.findall(r'name="(\w+)" value="([^"]*)"', back.text)
        return {name: html.unescape(value) for name, value in fields}

    async def open_link(self, challenge: Challenge, decision: str) -> str:
        """Opens the app by its link and decides; where it leads back to."""
        page = await self.http.get("/a2a/verifySign?" + challenge.app_link.partition("?")[2])
        fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text)
        data = {name: html.unescape(value) for name, value in fields} | {"decision": decision}
        back = await self.http.post("/a2a/verifySign", data=data)
        return back.headers["location"]

    async def weather(self, **fault: object) -> None:
        """What befalls ATH-02 from now on."""
        answer = await self.http.post(
            "http://localhost/control", json={"faults": {"ATH-02": fault}}
        )
        assert answer.status_code == 200, answer.text
