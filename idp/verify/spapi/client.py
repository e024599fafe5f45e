"""The calls of the SP-API: transaction ids, and what may be sent twice.

It says what was answered; who is believed is decided in `verifier`. Raises UpstreamAway where
there was no answer and Disagreement where the answer contradicts itself or our question.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from idp.verify.calls import Calls
from idp.verify.spapi import answers, wire
from idp.verify.spapi.rules import signed_words
from idp.verify.spapi.settings import SCHEME, SpApiSettings, SpService


def transaction() -> str:
    """A transaction_id of ours: nobody can guess it, and it is never used again."""
    return str(uuid.uuid4())


class Client:
    """`line` and `monotonic` as in Calls; `chance` makes the IVs."""

    def __init__(
        self,
        settings: SpApiSettings,
        line: httpx.AsyncBaseTransport,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._settings = settings
        self._calls = Calls(SCHEME, settings, line, monotonic)
        self._chance = chance
        self.breaker = self._calls.breaker

    def browser_request(
        self, service: SpService, transaction_id: str
    ) -> tuple[str, tuple[tuple[str, str], ...]]:
        """WEB-01: the address and the fields that a browser has to carry there."""
        fields = self._fields("WEB-01", service, self.opening(service, transaction_id))
        url = self._settings.browser_url + self._settings.paths.of("WEB-01")
        return url, tuple(fields.items())

    async def open(
        self, interface: str, service: SpService, asked: Mapping[str, str]
    ) -> answers.Opened:
        """ATH-01, ATH-03. Sent once: a second request would ring the phone a second time."""
        return answers.opened(interface, *await self._ask(interface, service, asked))

    async def result(
        self, service: SpService, transaction_id: str, sp_ticket_id: str
    ) -> answers.Result:
        """ATH-02, in the transaction that opened the ticket."""
        asked = {"transaction_id": transaction_id, "sp_ticket_id": sp_ticket_id}
        return answers.result(*await self._ask("ATH-02", service, asked))

    async def device_status(self, service: SpService, id_num: str) -> answers.DeviceStatus:
        """LF-01."""
        asked = {"transaction_id": transaction(), "id_num": id_num}
        return answers.device_status(*await self._ask("LF-01", service, asked))

    def opening(self, service: SpService, transaction_id: str, **more: str) -> dict[str, str]:
        """What every opening says; what an interface does not send is left out of its request."""
        signing: dict[str, str] = {"sign_type": self._settings.sign_type}
        if self._settings.sign_type:
            signing |= {
                "sign_data": signed_words(transaction_id),
                "tbs_encoding": "NONE",
                "hash_algorithm": "SHA256",
            }
        return {
            "transaction_id": transaction_id,
            "sp_service_id": service.sp_service_id,
            "op_code": "ATH",
            "op_mode": self._settings.qr_op_mode,
            "hint": self._settings.hint,
            "time_limit": str(self._settings.time_limit),
            **signing,
            **more,
        }

    async def _ask(
        self, interface: str, service: SpService, asked: Mapping[str, str]
    ) -> tuple[dict[str, Any], answers.Proof]:
        """The answer and what to check it against. Every sending is sealed anew: under one IV
        twice the key would be given away."""

        async def request() -> tuple[dict[str, Any], None]:
            return wire.document(self._fields(interface, service, asked)), None

        url = self._settings.api_url + self._settings.paths.of(interface)
        resend = wire.INTERFACES[interface].resend
        answer, _ = await self._calls.ask(interface, url, request, resend=resend)
        return answer, answers.Proof(service.keys, asked["transaction_id"])

    def _fields(
        self, interface: str, service: SpService, asked: Mapping[str, str]
    ) -> dict[str, str]:
        values = {**asked, "sp_service_id": service.sp_service_id}
        return wire.emit(wire.INTERFACES[interface], values, service.keys[0], self._chance)
