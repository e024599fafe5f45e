"""What `idp doctor` looks at: our cipher, what was not configured, and the way upstream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import httpx

from idp.verify import Check
from idp.verify.reasons import reach
from idp.verify.spapi import checksum
from idp.verify.spapi.rules import SCHEME
from idp.verify.spapi.settings import SpApiSettings

# computed by another program, with an IV of zeros
_KNOWN_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
_KNOWN_TEXT = "TXN-1SP-1A123456789ATHI-SCANhint"
_KNOWN_SUM = (
    "0000000000000000000000003e8c8ce9d014b0883a9b9c57201da9fde67266314ae2511ab8ab80b7a7cc3f61283982"
    "8a4894da6256a541c2f3fc0b28993720df1a10709c62845a447a017eddad21e66c2be4ed9d594876f87891bfe8"
)


async def checks(
    settings: SpApiSettings, line: httpx.AsyncBaseTransport, *, production: bool
) -> Sequence[Check]:
    return [_cipher(), *_issuers(settings, production), await reach(SCHEME, settings, line)]


def _cipher() -> Check:
    good = checksum.matches([_KNOWN_KEY], _KNOWN_TEXT, _KNOWN_SUM)
    seen = "the known answer is opened" if good else "the known answer is not opened"
    remedy = "" if good else "reinstall cryptography as requirements.lock names it"
    return Check("ok" if good else "fail", f"{SCHEME} checksum", seen, remedy)


def _issuers(settings: SpApiSettings, production: bool) -> Iterator[Check]:
    """Without them a citizen's signature is recorded, and whose it is is not verified."""
    if not production or not settings.sign_type:
        return
    count = len(settings.issuers())
    if count:
        yield Check("ok", f"{SCHEME} issuers", f"{count} certificates")
    else:
        remedy = f"set {SCHEME}.issuing_certificates, or {SCHEME}.sign_type to nothing"
        yield Check("warn", f"{SCHEME} issuers", "citizens' certificates are unchecked", remedy)
