"""Somebody hangs up before the body is complete: at every route that may read one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.routing import BaseRoute, Mount, Route
from structlog.testing import capture_logs

from idp.app import routes
from idp.kernel.answers import Answers
from tests.asking import FORM, HOST, SQLITE, stored
from tests.house import MINISTRY, TestHouse

pytestmark = SQLITE


def posted(found: list[BaseRoute], prefix: str = "") -> Iterator[str]:
    """The paths that take a POST, with something for each parameter."""
    for route in found:
        if isinstance(route, Mount):
            yield from posted(route.routes, prefix + route.path)
        elif isinstance(route, Route) and "POST" in (route.methods or {"POST"}):
            yield re.sub(r"{.*?}", "x", prefix + route.path)


async def hung_up(house: TestHouse, path: str) -> list[Any]:
    """What is sent to somebody who is gone. What the application raises is not swallowed."""
    sent: list[Any] = []
    inbox = [{"type": "http.request", "body": b"a", "more_body": True}]

    async def receive() -> Any:
        return inbox.pop() if inbox else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "https", "path": path,
        "root_path": "", "query_string": b"", "client": (MINISTRY, 1),
        "headers": [(b"host", HOST.encode()), *((k.encode(), v.encode()) for k, v in FORM)],
    }  # fmt: skip
    await house.app(scope, receive, send)
    return sent


async def test_nobody_crashes_whoever_hangs_up(house: TestHouse) -> None:
    """One quiet line at most, no 500, and nothing is stored."""
    paths = sorted(set(posted(routes(house.house, Answers(house.services.templates)))))
    assert {"/token", "/authorize", "/logout", "/twfido/callback", "/login/x/check"} <= set(paths)
    before = await stored(house)
    for path in paths:
        with capture_logs() as lines:
            sent = await hung_up(house, path)
        assert [line["log_level"] for line in lines] in ([], ["info"]), (path, lines)
        assert sent[0]["status"] < 500, path
    assert await stored(house) == before


async def test_the_simulator_does_not_crash(house: TestHouse) -> None:
    """The pretend service is served by the same server: what is incomplete cannot be read."""
    simulator = house.upstreams["fido.test"]
    for path in sorted(set(posted(simulator.routes))):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(house, "app", simulator)
            assert (await hung_up(house, path))[0]["status"] < 500, path
