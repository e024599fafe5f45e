"""An upstream of a few lines, for the tests of our SP-API client: it signs what it is told to say.
The real opponent is the simulator (tests/contracts)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from idp.verify import Ports
from idp.verify.spapi import checksum
from idp.verify.spapi.settings import SpApiSettings
from idp.verify.spapi.verifier import SpApi
from tests.rules.twfido_upstream import Book, Numbers, Stopwatch

KEY = base64.b64encode(hashlib.sha256(b"a key of the tests").digest()).decode()
OLD_KEY = base64.b64encode(hashlib.sha256(b"the key before").digest()).decode()
SERVICE = "SP-20260731"
TRANSACTION = "4f6e0d52-9c1b-4d4f-8f7e-3a1f6f1f0c11"
TICKET_ID = "TKT-0001"
HASHED = hashlib.sha256(b"somebody").hexdigest()
PID, OTHER = "A123456789", "B222222228"

RETURN = "https://id.test/spapi/return"
NOW = 1_790_000_000
Answer = Callable[[str, dict[str, Any]], "httpx.Response | dict[str, Any]"]
SUMS = {
    "ATH-01": ("sp_ticket",),
    "ATH-03": ("sp_ticket",),
    "ATH-02": ("hashed_id_num", "signed_response"),
    "LF-01": ("is_fido", "is_mcert_sign"),
    "WEB-01": ("id_num", "signed_response"),
}
PATHS = {
    "/moise/sp/getSpTicket": "ATH-01",
    "/moise/sp/getAthOrSignResult": "ATH-02",
    "/moise/sp/requestAthOrSignPush": "ATH-03",
    "/moise/sp/checkDeviceStatus": "LF-01",
}


def ticket(transaction_id: str = TRANSACTION, **changes: Any) -> str:
    """A ticket with a right digest; a field that is changed to None is left out."""
    fields = {
        "transaction_id": transaction_id,
        "op_code": "ATH",
        "sp_service_id": SERVICE,
        "sp_ticket_id": TICKET_ID,
        "sp_name": "示範服務",
        "hashed_id_num": HASHED,
        "version": "2.9",
        **changes,
    }
    return packed(json.dumps({k: v for k, v in fields.items() if v is not None}).encode())


def packed(body: bytes) -> str:
    first = _b64(body)
    return f"{first}.{_b64(hashlib.sha256(first.encode()).digest())}"


def _b64(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def signed(
    interface: str, transaction_id: str, code: Any = "0", key: str = KEY, **result: Any
) -> dict[str, Any]:
    """An answer as it should be."""
    parts = [transaction_id, str(code), *(str(result.get(n, "")) for n in SUMS[interface])]
    sealed = checksum.seal(key, "".join(parts))
    found = {**result, "idp_checksum": sealed}
    return {"error_code": code, "error_message": "x", "result": found}


def returned(transaction_id: str, code: str = "0", **fields: str) -> dict[str, str]:
    """What a browser brings from WEB-01."""
    whole = signed("WEB-01", transaction_id, code, **fields)
    result: Mapping[str, str] = whole["result"]
    return {"transaction_id": transaction_id, "error_code": code, **result}


def settings(**changes: Any) -> SpApiSettings:
    known = {"api_url": "https://upstream.test", "sp_service_id": SERVICE, "keys": (KEY,)}
    return SpApiSettings.model_validate(known | changes)


class Upstream:
    """`answer(interface, request)` says what comes back: a response or a document as it is.
    Requests are kept."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.seen: list[tuple[str, dict[str, Any]]] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        interface, sent = PATHS[request.url.path], json.loads(request.content)
        self.seen.append((interface, sent))
        answer = self.answer(interface, sent)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def saying(code: Any = "0", **result: Any) -> Upstream:
    """Answers every question with this, signed."""
    return Upstream(lambda name, sent: signed(name, sent["transaction_id"], code, **result))


def opening(**changes: Any) -> Upstream:
    """Opens whatever is asked for, with a ticket of these changes."""

    def answer(interface: str, sent: dict[str, Any]) -> dict[str, Any]:
        made = ticket(**{"transaction_id": sent["transaction_id"], **changes})
        return signed(interface, sent["transaction_id"], sp_ticket=made)

    return Upstream(answer)


def verifier(upstream: Upstream | httpx.AsyncBaseTransport, **changes: Any) -> SpApi:
    book = Book(changes.pop("of", {}), changes.pop("named", {}))
    monotonic = changes.pop("monotonic", Stopwatch())
    transport = httpx.MockTransport(upstream) if isinstance(upstream, Upstream) else upstream
    ports = Ports(transport, Numbers(), book, monotonic, lambda: NOW, "https://id.test")
    return SpApi(settings(**changes), ports)
