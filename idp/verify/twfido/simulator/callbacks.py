"""FEXCH-02: telling a system that its QR transaction has been decided."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import httpx

from idp.verify.simulated.weather import to_json
from idp.verify.twfido.simulator.faults import Conditions, seal
from idp.verify.twfido.simulator.reading import MESSAGES
from idp.verify.twfido.simulator.world import Transaction, World

INTERFACE = "FEXCH-02"
TIMEOUT = 5.0  # seconds
_HEADERS = {"content-type": "application/json"}


class Courier:
    """Sends in the background, never twice by itself, and writes every outcome in the ledger."""

    def __init__(
        self, world: World, conditions: Conditions, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._world = world
        self._conditions = conditions
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._errands: set[asyncio.Task[None]] = set()  # else they may be collected half way
        world.decided = self.decided

    async def announce(self, transaction: Transaction) -> None:
        """Before the opening answer, for the persona whose callback overtakes it."""
        if transaction.interface == "FEXCH-01" and transaction.persona.early:
            await self._send(transaction, "0000")

    def decided(self, transaction: Transaction) -> None:
        # Not before the opening answer has left: only `announce` may overtake it.
        if transaction.answered and transaction.interface == "FEXCH-01":
            self._start(self._deliver(transaction))

    async def opened(self, transaction: Transaction) -> None:
        """The opening answer has left; from here the persona acts."""
        transaction.answered = True
        if transaction.outcome != "pending":
            self.decided(transaction)
            return
        self._world.settle(transaction)
        if transaction.acts_alone.decides and transaction.outcome == "pending":
            self._start(self._wake(transaction))

    def recall(self) -> None:
        """Drop what is under way."""
        for errand in self._errands:
            errand.cancel()

    async def close(self) -> None:
        self.recall()
        await asyncio.gather(*self._errands, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def _start(self, errand: Coroutine[Any, Any, None]) -> None:
        """Also from another thread: a test may approve while the server runs elsewhere."""
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            if self._loop is None or not self._loop.is_running():
                errand.close()
                self._world.record("callback", INTERFACE, result="no event loop")
                return
            self._loop.call_soon_threadsafe(self._keep, errand)
        else:
            self._keep(errand)

    def _keep(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _wake(self, transaction: Transaction) -> None:
        await self._conditions.sleep(transaction.acts_alone.after)
        self._world.settle(transaction)

    async def _deliver(self, transaction: Transaction) -> None:
        for _ in range(2 if transaction.persona.early else 1):
            await self._send(transaction, self._world.result(transaction))

    async def _send(self, transaction: Transaction, rcode: str) -> None:
        system, fault = transaction.system, self._conditions.strike(INTERFACE)
        if system.callback_url is None:
            return
        fields = {
            "qrid": transaction.qrid,
            "tranSeq": transaction.tranSeq,
            "pid": transaction.named,
            "rcode": rcode,
            "msg": MESSAGES[rcode],
            "syscode": system.syscode,
        }
        sealed = seal(fields, ("rcode", "tranSeq"), system.api_key, fault)
        await self._conditions.pause(fault.hang)
        self._world.record(
            "callback",
            INTERFACE,
            syscode=system.syscode,
            qrid=transaction.qrid,
            tran_seq=transaction.tranSeq,
            pid=sealed["pid"],
            result=await self._post(system.callback_url, to_json(sealed)),
        )

    async def _post(self, url: str, body: bytes) -> str:
        """The rcode that came back, or what went wrong."""
        if self._client is None:
            self._client = httpx.AsyncClient(
                transport=self._transport, timeout=TIMEOUT, trust_env=False
            )
        try:
            answer = await self._client.post(url, content=body, headers=_HEADERS)
            if answer.status_code != httpx.codes.OK:
                return f"HTTP {answer.status_code}"
            return str(answer.json().get("rcode", "no rcode"))[:40]
        except Exception as error:  # whatever the other side does must not end the simulator
            return type(error).__name__
