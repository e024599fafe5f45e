"""The real parts of the tests start, answer and leave nothing behind."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis as RedisClient

from tests.services import Missing, Service
from tests.services.chromium import Chromium
from tests.services.fixtures import needs
from tests.services.node import Refused, axe, html_faults, relying_party
from tests.services.postgres import Postgres
from tests.services.process import gone, program, state
from tests.services.redis import Redis


async def test_postgres_answers_on_the_url_of_a_new_database(postgres: Postgres) -> None:
    """A database made from a template holds what the template was filled with."""
    template = postgres.template(
        "filled", lambda url: print(postgres.execute("CREATE TABLE t (n int)", url.split("/")[-1]))
    )
    wire = await asyncpg.connect(postgres.create_database(template=template))
    try:
        assert await wire.fetchval("SELECT count(*) FROM t") == 0
    finally:
        await wire.close()


def test_postgres_survives_a_kill_and_ends_with_its_folder(postgres: Postgres) -> None:
    """A durable server that was killed starts again on its data, and ends by its id."""
    with Postgres(durable=True) as server:
        server.create_database("kept")
        server.kill()
        assert gone(server.pid)
        server.serve()
        assert server.execute("SELECT 1", "kept") == "1"
        pid, folder = server.pid, server.folder
    assert gone(pid)
    assert not folder.exists()


async def test_redis_answers_and_forgets(redis_server: Redis, empty_redis: str) -> None:
    """Redis starts empty, keeps a value, and forgets it on flush."""
    async with RedisClient.from_url(empty_redis) as client:
        await client.set("key", "value")
        assert await client.get("key") == b"value"
        redis_server.flush()
        assert await client.get("key") is None


def test_redis_ends_with_its_folder() -> None:
    """Redis ends by its id and leaves no folder."""
    with needs("redis"):
        server = Redis()
    with server:
        pid, folder = server.pid, server.folder
        assert server.alive
    assert gone(pid)
    assert not folder.exists()


async def test_chromium_opens_a_page_without_script(chromium: Chromium) -> None:
    """Each page has the context it asked for: here a narrow one that runs no script."""
    async with chromium.page(
        java_script_enabled=False, viewport={"width": 320, "height": 640}, locale="zh-TW"
    ) as page:
        await page.set_content("<h1>您好</h1><noscript>without</noscript>")
        assert await page.inner_text("h1") == "您好"
        assert await page.is_visible("noscript")
        assert page.viewport_size == {"width": 320, "height": 640}


def test_chromium_opens_a_page_for_a_plain_test(chromium: Chromium) -> None:
    """A test that is not a coroutine drives the same browser, with axe."""
    axe_source = axe_or_skip()
    with chromium.sync_page() as page:
        page.set_content("<!DOCTYPE html><html><body><img src='data:,'></body></html>")
        page.evaluate(axe_source)
        found = page.evaluate("axe.run().then(r => r.violations.map(v => v.id))")
    assert {"image-alt", "html-has-lang"} <= set(found)


def axe_or_skip() -> str:
    """axe's source, or a skip with the reason."""
    with needs("node"):
        return axe()
    raise AssertionError("unreachable")


def test_node_finds_faults_in_a_page(node: str) -> None:
    """The HTML checker names the line and the rule."""
    page = '<!DOCTYPE html>\n<html lang="en"><head><title>t</title></head><body>\n%s</body></html>'
    assert html_faults(page % "<p>fine</p>") == []
    assert [fault.split()[1] for fault in html_faults(page % '<img src="a">')] == ["wcag/h37:"]


async def test_the_relying_party_says_why_it_refuses(node: str) -> None:
    """A provider that does not answer is an error event, not a hang."""
    async with relying_party(issuer="http://127.0.0.1:1", client_id="c") as party:
        with pytest.raises(Refused, match="fetch failed"):
            await party.authorization_url()


def test_a_missing_part_names_its_package() -> None:
    """What is not installed is refused with the name of the package that brings it."""
    with pytest.raises(Missing, match="Debian package: no-such-package"):
        program("no-such-program", "no-such-package")


def test_a_missing_part_fails_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """In continuous integration a missing part is a failure; elsewhere a skip."""
    monkeypatch.setenv("TEST_REQUIRE", "redis")
    with pytest.raises(pytest.fail.Exception, match="no redis"), needs("redis"):
        raise Missing("no redis")
    monkeypatch.delenv("TEST_REQUIRE")
    with pytest.raises(pytest.skip.Exception, match="no redis"), needs("redis"):
        raise Missing("no redis")


def test_a_frozen_process_goes_on_after_a_thaw() -> None:
    """A frozen process is stopped, children included, and runs again when thawed."""
    with Service("sleeper") as sleeper:
        sleeper.start([sys.executable, "-c", "import time; time.sleep(60)"])
        sleeper.freeze()
        assert state(sleeper.pid) == "T"
        sleeper.thaw()
        sleeper.wait_until(lambda: state(sleeper.pid) != "T")
    assert gone(sleeper.pid)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is missing")
def test_services_die_with_the_run(tmp_path: Path) -> None:
    """A run that is killed leaves no service behind."""
    script = (
        "import os, signal; from tests.services import Service; s = Service('orphan');"
        "s.start(['sleep', '60']); print(s.pid, s.folder, flush=True); signal.pause()"
    )
    with Service("run") as run:
        run.start([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
        run.wait_until(lambda: run.output().endswith("\n"))
        pid, folder = run.output().split()
        os.kill(run.pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while not gone(int(pid)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert gone(int(pid))
    shutil.rmtree(folder)
