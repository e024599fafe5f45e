"""What is done for every request is done cheaply. Cost is counted in function calls, never in time:
each test fails when the shortcut that it names is taken away (docs/decisions)."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from httpcore._synchronization import current_async_library
from limits.aio.storage import MemoryStorage

from idp.kernel.vault import Vault
from idp.login import qr
from idp.rates import MemoryWindows
from idp.verify import Order
from tests.rules.twfido_upstream import PID, Upstream, opened, verifier


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How many functions of which file are called meanwhile."""
    found: Counter[str] = Counter()

    def seen(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            found[frame.f_code.co_filename] += 1

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        yield found
    finally:
        sys.setprofile(before)


def calls(work: Callable[[], object]) -> int:
    """What `work` costs the second time, when everything that is remembered is remembered."""
    work()
    with counted() as found:
        work()
    return found.total()


def test_sealing_is_one_call_of_the_library() -> None:
    """Sealing and opening cost a handful of calls; PyCryptodome's GCM costs almost 200."""
    vault = Vault(bytes(32))
    sealed = vault.seal("person", PID)
    assert calls(lambda: vault.seal("person", PID)) < 25
    assert calls(lambda: vault.open("person", sealed)) < 25


def test_a_qr_code_is_not_computed_in_python() -> None:
    """A code of 160 characters costs 700 calls here; an encoder in Python costs 40,000."""
    assert calls(lambda: qr.svg('{"qrid":"' + "x" * 150 + '"}')) < 4000


async def test_a_call_upstream_needs_no_client() -> None:
    """A call upstream goes through httpx's transport: nothing of httpx's client runs."""
    fido = verifier(Upstream(lambda *_: opened()))
    with counted() as found:
        await fido.start(Order("rp", "twfido:push", PID))
    files = {name.rpartition("httpx/")[2] for name in found if "httpx/" in name}
    assert "_models.py" in files
    assert "_client.py" not in files


async def test_httpcore_finds_sniffio() -> None:
    """httpcore imports sniffio at each call. Without it each call searches the disk for it."""
    current_async_library()
    assert importlib.util.find_spec("sniffio") is not None
    assert "sniffio" in sys.modules


async def _hit(storage: MemoryStorage, windows: int) -> int:
    """What one hit costs while `windows` others are open, with the tasks that it starts."""
    for number in range(windows):
        storage.storage[str(number)] = 1
        storage.expirations[str(number)] = 4e9
    await storage.incr("a", 60)
    await asyncio.sleep(0)
    with counted() as found:
        await storage.incr("a", 60)
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    return found.total()


async def test_a_hit_looks_through_no_other_window() -> None:
    """A hit starts no task and costs with ten thousand open windows what it costs with none."""
    few, many = MemoryWindows(), MemoryWindows()
    assert await _hit(many, 10_000) <= await _hit(few, 0) + 3  # at most one more sweep
    assert many.timer is None


async def test_limits_still_looks_through_all_windows() -> None:
    """limits' own storage starts a task at each hit. When this fails, limits has been corrected
    and our subclass can go (decision 0029)."""
    storage = MemoryStorage()
    await _hit(storage, 10)
    assert storage.timer is not None
