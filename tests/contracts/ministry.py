"""TW FidO's client against the simulator, in process. The simulator was written from the
ministry's papers and not from our client."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime
from itertools import count

import httpx
from pydantic import SecretStr

from idp.verify import Challenge, Ports
from idp.verify.twfido import callback
from idp.verify.twfido.settings import TwFidoSettings
from idp.verify.twfido.simulator import SimulatedSystem, create_simulator
from idp.verify.twfido.verifier import TwFido

SYSCODE, KEY = "20190326031900012556", "00112233445566778899AABBCCDDEEFF"
FAST = 10  # how much faster than life slow answers are


class NoAccounts:
    """Every relying party is served by the house's own account."""

    async def of(self, _scheme: str, _relying_party: str) -> None:
        return None

    async def named(self, _scheme: str, _account: str) -> None:
        return None


class Ministry:
    """The simulator in process, a clock that we turn, and the callbacks that it sent."""

    def __init__(self, total_timeout: float = 8) -> None:
        self.now = datetime(2026, 7, 31, 9, 0, tzinfo=UTC).timestamp()
        self.called: asyncio.Queue[bytes] = asyncio.Queue()
        system = SimulatedSystem(
            syscode=SYSCODE,
            api_key=KEY,
            name="示範服務",
            success_url="https://idp.test/twfido/return",
            callback_url="https://idp.test/twfido/callback",
        )
        app = create_simulator(
            [system],
            public_url="http://simulator.test",
            clock=lambda: self.now,
            sleep=lambda seconds: asyncio.sleep(seconds / FAST),
            transport=httpx.MockTransport(self._callback),
        )
        self.world = app.state.simulator
        line = httpx.ASGITransport(app)
        self.http = httpx.AsyncClient(transport=line, base_url="http://simulator.test")
        numbers = count(1)

        async def reserve(_: str) -> tuple[int, int]:
            return int(self.now), next(numbers)

        self.verifier = TwFido(
            TwFidoSettings(
                base_url="http://simulator.test",
                syscode=SYSCODE,
                api_keys=(SecretStr(KEY),),
                total_timeout=total_timeout,
            ),
            Ports(
                line,
                reserve,
                NoAccounts(),
                time.monotonic,
                lambda: int(self.now),
                "https://idp.test",
            ),
        )

    async def _callback(self, request: httpx.Request) -> httpx.Response:
        self.called.put_nowait(request.content)
        return httpx.Response(200, json=dict(callback.ACKNOWLEDGEMENT))

    async def decide(self, handle: str, yes: bool) -> None:
        (self.world.approve if yes else self.world.deny)(handle)

    async def browse(self, challenge: Challenge, **form: str) -> dict[str, str]:
        """What a person's browser brings back from the pages of FWEB-01 and CTAP-01."""
        assert challenge.action is not None
        page = await self.http.post(challenge.action, data=dict(challenge.fields))
        assert page.status_code == 200
        qrid = re.search(r"/browser/([0-9a-f-]{36})", page.text)
        assert qrid is not None
        back = await self.http.post(f"/browser/{qrid[1]}", data=form)
        return dict(re.findall(r'name="(\w+)" value="([^"]*)"', back.text))
