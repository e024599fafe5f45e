"""Who sent a request, as far as the edge can tell: made once, carried to whatever is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import structlog
from starlette.requests import Request

from idp.kernel.audit import Entry
from idp.rates import network_of, source_of


@dataclass(frozen=True, slots=True)
class Caller:
    """`address` as trusted proxies tell it; `reference` names the incident on pages, in the log
    and in the audit trail; `browser` is the digest of the browser's cookie, "" without one.
    `mutual`: it came by the name at which our proxy asks for certificates; `certificate` is the
    one that it showed there (idp.mtls), or ""."""

    address: str
    reference: str
    browser: str = ""
    mutual: bool = False
    certificate: str = ""

    @property
    def source(self) -> str:
        """What request limits count by."""
        return source_of(self.address)

    @property
    def network(self) -> str:
        """What wider limits count by."""
        return network_of(self.address)

    def entry(
        self, event: str, *, client_id: str = "", person_id: str = "", **detail: Any
    ) -> Entry:
        """An audit entry about this request."""
        return Entry(
            event,
            self.reference,
            client_id,
            person_id,
            self.address,
            tuple(sorted(detail.items())),
        )


def caller_of(request: Request) -> Caller:
    caller: Caller = request.scope["state"]["caller"]
    return caller


def adopt_reference(request: Request, reference: str) -> None:
    """A request that goes on with a login is told, logged and audited under that login's
    reference."""
    request.scope["state"]["caller"] = replace(caller_of(request), reference=reference)
    structlog.contextvars.bind_contextvars(reference=reference)
