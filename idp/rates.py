"""Rate windows in the memory of one process, and by what an address counts in them: for the
kernel's throttle and for the guard."""

from __future__ import annotations

import functools
import ipaddress
import time

from limits.aio.storage import MemoryStorage

SWEEP = 1.0  # seconds between two looks for windows that are over


class MemoryWindows(MemoryStorage):
    """Corrects limits 5.8, where every hit starts a task that looks through all windows for those
    that are over: with ten thousand callers a hit would cost ten thousand looks. Here nothing
    waits in the middle of a count, so it needs no lock."""

    _swept_at = 0.0

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = time.time()
        if abs(now - self._swept_at) >= SWEEP:
            self._swept_at = now
            for over in [one for one, end in self.expirations.items() if end <= now]:
                await self.clear(over)
        if not now < self.expirations.get(key, 0) <= now + expiry:  # a clock may be set back
            self.storage[key], self.expirations[key] = 0, now + expiry
        self.storage[key] += amount
        return self.storage[key]


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(text: str) -> Address:
    """An IP address; one that IPv6 maps (::ffff:203.0.113.7) is its IPv4 address, since a socket
    that listens on both kinds shows it so. Raises ValueError."""
    parsed = ipaddress.ip_address(text.split("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed


@functools.lru_cache(maxsize=4096)
def source_of(address: str) -> str:
    """What limits count by. One IPv6 subscriber has a /64, so all of it is one source."""
    return _prefix(address, 32, 64)


@functools.lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """What wider limits count by, for who has many sources: one site is given up to a /48 (RFC
    6177 §2), and a /24 is the least of IPv4 that is routed."""
    return _prefix(address, 24, 48)


def _prefix(address: str, v4: int, v6: int) -> str:
    try:
        parsed = parse_address(address)
    except ValueError:  # a socket's name
        return address
    length = v4 if parsed.version == 4 else v6
    if length == 32:
        return str(parsed)
    return str(ipaddress.ip_network(f"{parsed}/{length}", strict=False))
