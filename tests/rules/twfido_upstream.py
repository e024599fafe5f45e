"""An upstream of a few lines, for the tests of our TW FidO client: it signs what it is told to
say. The real opponent is the simulator (tests/contracts)."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import httpx

from idp.verify import Ports
from idp.verify.twfido.checksum import chksum
from idp.verify.twfido.settings import TwFidoSettings
from idp.verify.twfido.verifier import TwFido

KEY, OLD_KEY = "00112233445566778899AABBCCDDEEFF", "FFEEDDCCBBAA99887766554433221100"
SYSCODE = "20190326031900012556"
QRID = "85cf3c68-bb09-4330-ae18-f72c204fbb17"
PID, OTHER = "A123456789", "B222222228"

SUMS = {"fexch-01": "qrid", "fath-01": "qrid"}
Answer = Callable[[str, dict[str, str]], httpx.Response | dict[str, Any]]


def settings(**changes: Any) -> TwFidoSettings:
    known = {"base_url": "https://upstream.test", "syscode": SYSCODE, "api_keys": (KEY,)}
    return TwFidoSettings.model_validate(known | changes)


class Upstream:
    """`answer(interface, request)` says what comes back: a response as it is, or fields to be
    completed with tranSeq and checksum. Requests are kept."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.seen: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        interface = request.url.path.removeprefix("/rp-api-")
        sent = json.loads(request.content)
        self.seen.append((interface, sent))
        answer = self.answer(interface, sent)
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, json=signed(interface, sent, answer))

    @property
    def sequences(self) -> list[str]:
        return [sent["tranSeq"] for _, sent in self.seen]


def signed(interface: str, sent: dict[str, str], answer: dict[str, Any]) -> dict[str, Any]:
    fields = {"tranSeq": sent["tranSeq"], "msg": "x", **answer}
    text = str(fields.get(SUMS.get(interface, "rcode"), "")) + str(fields["tranSeq"])
    return {"chksum": chksum(KEY, text), **fields}


def opened(**changes: Any) -> dict[str, Any]:
    """A good answer of FEXCH-01 and FATH-01."""
    words = {"op": "Nty", "sysaction": "登入", "sysname": "示範服務"}
    return {"rcode": "0000", "qrid": QRID, **words, **changes}


class Numbers:
    """reserve(): seconds and a number, counted."""

    def __init__(self) -> None:
        self._next = count(1)

    async def __call__(self, syscode: str) -> tuple[int, int]:
        return 0, next(self._next)


class Stopwatch:
    """A monotonic clock that stands still."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Book:
    """Accounts of relying parties; `of` and `named` are looked up by name."""

    def __init__(self, of: dict[str, Any], named: dict[str, Any]) -> None:
        self._of, self._named = of, named

    async def of(self, _scheme: str, relying_party: str) -> dict[str, Any] | None:
        return self._of.get(relying_party)

    async def named(self, _scheme: str, account: str) -> dict[str, Any] | None:
        return self._named.get(account)


def verifier(upstream: Upstream | httpx.AsyncBaseTransport, **changes: Any) -> TwFido:
    book = Book(changes.pop("of", {}), changes.pop("named", {}))
    monotonic = changes.pop("monotonic", Stopwatch())
    transport = httpx.MockTransport(upstream) if isinstance(upstream, Upstream) else upstream
    return TwFido(
        settings(**changes),
        Ports(transport, Numbers(), book, monotonic, lambda: 0, "https://id.test"),
    )
