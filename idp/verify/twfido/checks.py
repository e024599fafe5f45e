"""What `idp doctor` looks at: our cipher, settings that cannot be right, and the way upstream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import httpx

from idp.verify import Check
from idp.verify.reasons import reach
from idp.verify.twfido import checksum
from idp.verify.twfido.settings import SCHEME, TwFidoPaths, TwFidoSettings

# TW FidO slides: a checksum that is printed with its key and text
_KNOWN_KEY = "59C55AAD2AEADF8A87EC55317CA148E7"
_KNOWN_TEXT, _KNOWN_SUM = "202008201009512692302020074523215", "28285ABE1F203D56"


async def checks(
    settings: TwFidoSettings, line: httpx.AsyncBaseTransport, *, production: bool
) -> Sequence[Check]:
    return [_cipher(), *_paths(settings, production), await reach(SCHEME, settings, line)]


def _cipher() -> Check:
    good = checksum.chksum(_KNOWN_KEY, _KNOWN_TEXT) == _KNOWN_SUM
    seen = "the printed example comes out" if good else "the printed example comes out otherwise"
    remedy = "" if good else "reinstall pycryptodome as requirements.lock names it"
    return Check("ok" if good else "fail", f"{SCHEME} checksum", seen, remedy)


def _paths(settings: TwFidoSettings, production: bool) -> Iterator[Check]:
    """The slides print no paths: ours are placeholders, which only the simulator answers."""
    if not production:
        return
    theirs = settings.paths
    names = [name for name, path in TwFidoPaths() if getattr(theirs, name) == path]
    if names:
        seen = "still placeholders: " + ", ".join(f"{SCHEME}.paths.{name}" for name in names)
        remedy = "set them to the paths that the ministry gave you"
        yield Check("warn", f"{SCHEME} paths", seen, remedy)
    else:
        yield Check("ok", f"{SCHEME} paths", "all are set")
