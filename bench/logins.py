"""A complete login by QR, over real connections, with the simulator as the upstream."""

from __future__ import annotations

import asyncio
import statistics
import time

import httpx

from bench.load import Sent
from bench.scene import NUMBER, Scene
from tests.processes.people import Browser, Service


async def logins(of: Scene, number: int, at_once: int) -> Sent:
    """`at_once` at any time, each by a browser that was never here."""
    times: list[float] = []
    turns = iter(range(number))

    async def one_after_another() -> None:
        for _ in turns:
            begun = time.monotonic()
            await log_in(of)
            times.append(1000 * (time.monotonic() - begun))

    begun = time.monotonic()
    await asyncio.gather(*(one_after_another() for _ in range(at_once)))
    return Sent(number, time.monotonic() - begun, 0, statistics.median(times), max(times))


async def log_in(of: Scene) -> None:
    """From the service's link to the person's claims: chooser, QR page, one poll, the press of
    the button, consent, code, tokens, userinfo."""
    door = Kept()
    browser = Browser(of.bridge, door)
    service = Service(of.bridge, of.web, limits=httpx.Limits())
    try:
        await browser.open(service.url(prompt="consent"))
        waiting = await browser.press("continue", method="qr", pid=NUMBER)
        await browser.open(f"/login/{browser.login_id}/status")
        browser.page = waiting
        await browser.press("check")
        tokens = (await service.redeem(await browser.press("allow"))).json()
        (await service.userinfo(tokens["access_token"])).raise_for_status()
    finally:
        await asyncio.gather(door.hang_up(), service.http.aclose())


class Kept(httpx.AsyncBaseTransport):
    """A browser's connection: stays open between two pages."""

    def __init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._inner.handle_async_request(request)

    async def hang_up(self) -> None:
        await self._inner.aclose()
