"""Which redirect_uri is one of a client's own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from idp.registry.clients import Client


def redirect_uri_matches(client: Client, uri: str) -> bool:
    """Exact, character by character; only a native client's loopback port may differ."""
    registered = client.metadata.redirect_uris
    if uri in registered:
        return True
    return client.metadata.native and any(_same_but_port(uri, known) for known in registered)


_LOOPBACK = re.compile(r"\Ahttp://(127\.0\.0\.1|\[::1\])(?::\d{1,5})?(/[^#]*)?\Z", re.ASCII)


def _same_but_port(uri: str, known: str) -> bool:
    """RFC 8252 §7.3; not for `localhost`, which a hosts file may move."""
    asked, kept = _LOOPBACK.match(uri), _LOOPBACK.match(known)
    return bool(asked and kept and asked.groups() == kept.groups())


def first_difference(sent: str, registered: Sequence[str]) -> tuple[str, int]:
    """(the registered URI most like the one sent, index of the first differing character)."""
    best = max(registered, key=lambda uri: _common(sent, uri), default="")
    return best, _common(sent, best)


def _common(a: str, b: str) -> int:
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
