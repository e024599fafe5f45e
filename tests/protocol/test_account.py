"""A person's own page: what it tells, to whom, and what its buttons end."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from urllib.parse import urlsplit

import pytest

from idp.account import record
from idp.jobs import sweep_expired
from idp.kernel.clock import moment
from idp.kernel.settings import BrandSettings
from idp.kernel.tables import attempts, consents, grants, history
from idp.kernel.templates import Templates
from tests.actors import Browser, Page, Service, log_in, verify
from tests.asking import (
    ALICE,
    BOB,
    SESSION_COOKIE,
    SQLITE,
    another,
    code_in,
    is_page,
    is_sent_back,
    live_sessions,
    logged_in,
    rows,
    stored,
)
from tests.house import TestHouse
from tests.logins import chosen, plain, qrids, rung

HERE, DAY = "/account", 86_400
NEUTRAL = "TF-2104"


async def home(house: TestHouse, number: str = ALICE, browser: Browser | None = None) -> Browser:
    """A browser in which this person has just opened their own page."""
    browser = browser or Browser(house)
    page = await browser.open(HERE)
    if "continue" in page.buttons():
        page = await verify(browser, "qr" if number == ALICE else "dongle", number)
    assert page.texts.get("h-sessions"), page.html
    return browser


def records(page: Page) -> list[str]:
    """The lines of the history, newest first, in plain words."""
    part = page.html.partition('id="history">')[2].partition("</ul>")[0]
    lines = [re.sub(r"<[^>]+>", " ", line) for line in part.split("<li>")[1:]]
    return [" ".join(line.split()) for line in lines]


async def shown(browser: Browser) -> list[str]:
    return records(await browser.open(HERE))


# ── who may look ────────────────────────────────────────────────────────────────────────────────


async def test_a_person_sees_their_own_uses(house: TestHouse, service: Service) -> None:
    """Service, agency, local time, method, what was known and given, result; of nobody else. The
    page shows one's own number masked, and the row holds none."""
    await logged_in(house, service, BOB)
    browser = await logged_in(house, service)
    house.clock.pass_(60)
    page = await (await home(house, browser=browser)).open(HERE)
    (line,) = records(page)
    assert line == (
        "2026-09-21 22:13 館藏服務 國家圖書館 登入成功 ，方式：QR Code "
        "提供的資料：身分證字號（部分隱碼）"
    )
    assert '<time datetime="2026-09-21T14:13:20Z">' in page.html
    assert page.headers["cache-control"] == "no-store"
    assert page.texts["me"] == "A1****0010"
    written = str(await rows(house, history))
    for text in (page.html, written):
        assert ALICE not in text and BOB not in text
    assert "A1****" not in written


@SQLITE
@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("zh-TW", "2026-09-21 22:13,館藏服務,國家圖書館,QR Code,登入成功,"),
        ("en", "2026-09-21 22:13,"),
    ],
)
async def test_ones_own_record_as_a_file(
    house: TestHouse, service: Service, language: str, line: str
) -> None:
    """The same lines as on the page, of nobody else, for a spreadsheet; never kept in a cache."""
    await logged_in(house, service, BOB)
    browser = await home(house, browser=await logged_in(house, service))
    file = await browser.open(f"{HERE}/record.csv?lang={language}")
    assert file.headers["content-type"] == "text/csv; charset=utf-8"
    assert file.headers["content-disposition"] == 'attachment; filename="record.csv"'
    assert file.headers["cache-control"] == "no-store"
    head, only, *rest = file.html.removeprefix("\ufeff").splitlines()
    assert len(head.split(",")) == 6 and rest == []
    assert only.startswith(line)
    assert ALICE not in file.html and BOB not in file.html


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_a_name_is_no_formula(name: str) -> None:
    """A spreadsheet that opens the file calculates nothing from what others are called."""
    line = {"service": {"name": name, "name_en": "", "agency": name}, "method": "qr"}
    line |= {"when": moment(0), "result": "granted", "claims": ()}
    answer = record.answer(Templates(BrandSettings()), "zh-TW", [line])
    text = bytes(answer.body).decode()
    (cells,) = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert cells[1] == cells[2] == f"'{name}"


@SQLITE
async def test_an_old_session_opens_nothing(house: TestHouse, service: Service) -> None:
    """Ten minutes after the verification the page asks again, and so does every button."""
    browser = await home(house)
    page = await browser.open(f"{HERE}/not-me")
    house.clock.pass_(601)
    browser.page = page
    page = await browser.press("stop-all")
    assert "continue" in page.buttons()
    assert len(await live_sessions(house)) == 1
    assert "h-history" in (await verify(browser)).texts


@SQLITE
async def test_who_cancels_is_not_sent_into_the_next_login(house: TestHouse) -> None:
    """Cancelling leads to a page that only offers to begin again."""
    browser = Browser(house)
    await browser.open(HERE)
    page = await browser.press("cancel")
    assert urlsplit(page.url).path == f"{HERE}/left"
    assert page.buttons() == []


@SQLITE
@pytest.mark.parametrize(
    "path",
    [
        HERE,
        f"{HERE}/record.csv",
        f"{HERE}?before=1.a",
        f"{HERE}/withdraw?client=service",
        f"{HERE}/not-me",
    ],
)
async def test_a_stranger_is_asked_who_they_are(house: TestHouse, path: str) -> None:
    """Nothing is shown before a login, whatever the path."""
    page = await Browser(house).open(path)
    assert urlsplit(page.url).path.startswith("/login/")


@SQLITE
@pytest.mark.parametrize("before", ["", "x", "1", "1.", "-1.a", "1.a'--", "１.a", "9" * 13 + ".a"])
async def test_a_bad_cursor(house: TestHouse, before: str) -> None:
    """Whoever makes up a cursor gets a clear error."""
    browser = await home(house)
    is_page(await browser.open(f"{HERE}?before={before}"), 400, "invalid_request")


@SQLITE
async def test_no_cursor_leads_to_another_person(house: TestHouse, service: Service) -> None:
    """A cursor of somebody else's page still shows only one's own lines."""
    await logged_in(house, service, BOB)
    (row,) = await rows(house, history)
    browser = await home(house)
    page = await browser.open(f"{HERE}?before={row['at'] + 1}.{row['id']}")
    assert all("我的登入紀錄" in line for line in records(page))


# ── what is told ────────────────────────────────────────────────────────────────────────────────


async def test_what_reached_the_phone_and_came_to_nothing(
    house: TestHouse, service: Service
) -> None:
    """Refused, stopped, ran out, confirmed but not taken up, waiting: each with its service, also
    what came before the person ever logged in here; nothing for a code that nobody scanned."""
    for ending in ("deny", "cancel", "late", "approve"):
        visitor = Browser(house)
        await chosen(visitor, service, "push", BOB)
        if ending == "cancel":
            await visitor.press("cancel")
        elif ending != "late":
            getattr(house.simulator, ending)(qrids(house)[-1])
            await visitor.open(f"{urlsplit(visitor.page.url).path}/status")
        house.clock.pass_(1000)
    await chosen(Browser(house), service, "qr", BOB)
    browser = await home(house, BOB)
    lines = await shown(browser)
    assert [line.split(" ", 2)[2].replace("國家圖書館 ", "") for line in lines] == [
        "我的登入紀錄 驗證成功，沒有提供資料 ，方式：USB 安全金鑰（Dongle）",
        "館藏服務 手機已確認，但沒有完成登入 ，方式：手機推播通知",
        "館藏服務 超過時間，沒有登入 ，方式：手機推播通知",
        "館藏服務 中途停止，沒有登入 ，方式：手機推播通知",
        "館藏服務 在手機上拒絕 ，方式：手機推播通知",
    ]
    house.clock.pass_(1)
    await chosen(Browser(house), service, "push", BOB)
    assert "正在等待手機確認" in (await shown(browser))[0]


async def test_it_outlives_the_attempts(house: TestHouse, service: Service) -> None:
    """What is swept after two days is still told, once, in the same words; after the retention
    nothing is."""
    visitor = Browser(house)
    await chosen(visitor, service, "push", BOB)
    await visitor.press("cancel")
    await chosen(Browser(house), service, "qr", BOB)
    await logged_in(house, service, BOB)
    before = await shown(await home(house, BOB))
    assert len(before) == 3
    house.clock.pass_(2 * DAY + 3600)
    await asyncio.gather(*(sweep_expired(house.house) for _ in range(4)))  # as workers do
    assert await house.count(attempts) == 0
    assert (await shown(await home(house, BOB)))[1:] == before
    house.clock.pass_(180 * DAY)
    await sweep_expired(house.house)
    assert len(await shown(await home(house, BOB))) == 1
    assert await house.count(history) == 1


@SQLITE
async def test_who_says_no_sees_that_too(house: TestHouse, service: Service) -> None:
    """A refused consent is one line: verified, and nothing given."""
    browser = Browser(house)
    await browser.open(service.url())
    await verify(browser)
    await browser.press("deny")
    (line,) = await shown(browser)
    assert "驗證成功，但不同意提供資料" in line and "提供的資料：" not in line


@SQLITE
async def test_a_long_history_has_pages(house: TestHouse) -> None:
    """Twenty lines a page, none twice and none left out, also of one second."""
    service = await another(house, "own", trusted=True)
    browser = Browser(house)
    await browser.open(service.url())
    await verify(browser)
    for _ in range(44):
        code_in(await browser.open(service.url(prompt="none")), service.redirect_uri)
    page, seen = await browser.open(HERE), 0
    for expected in (20, 20, 5):
        assert len(records(page)) == expected
        seen += expected
        more = re.search(r'href="(/account\?before=[^"]+)" id="more"', page.html)
        page = await browser.open(more[1]) if more else page
    assert seen == await house.count(history) and "more" not in page.texts


async def test_a_lost_race_leaves_no_line(house: TestHouse, service: Service) -> None:
    """The line is written with the grant or not at all: a second click adds none."""
    browser = Browser(house)
    await browser.open(service.url())
    page = await verify(browser)
    await browser.press("allow")
    browser.page = page
    await browser.press("allow")
    assert await house.count(history) == await house.count(grants) == 1


# ── sessions ────────────────────────────────────────────────────────────────────────────────────

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36"
)


async def test_ending_one_of_several(house: TestHouse, service: Service) -> None:
    """The other browser is named by what it is; ended, its tokens without offline use die, and
    pressing twice does nothing more."""
    other = Browser(house, **{"user-agent": CHROME})
    page = await log_in(other, service)
    tokens = (await service.redeem(page)).json()
    house.clock.pass_(5)
    browser = await home(house)
    page = await browser.open(HERE)
    assert [page.texts[f"browser-{n}"] for n in (1, 2)] == ["不明的瀏覽器", "Chrome, Windows"]
    assert "登出這台裝置" in page.html
    for _ in range(2):
        browser.page = page
        done = await browser.press("end-2")
        assert done.texts["done"] == "已結束那一個登入。"
    assert "browser-2" not in done.texts
    assert (await service.userinfo(tokens["access_token"])).status_code == 401
    is_sent_back(
        (await other.open(service.url(prompt="none"))).url, "login_required", service.state
    )
    (event,) = await house.events("account.sessions_ended")
    assert event["detail"] == {"count": 1}


async def test_ending_all_others(house: TestHouse, service: Service) -> None:
    """This browser stays with its tokens, another person's stays, the others of this person end
    with theirs."""
    await logged_in(house, service, BOB)
    await logged_in(house, service)
    theirs = (await service.redeem(await log_in(Browser(house), service))).json()
    browser = Browser(house)
    own = (await service.redeem(await log_in(browser, service))).json()
    await home(house, browser=browser)
    await browser.press("end-others")
    assert (await service.userinfo(theirs["access_token"])).status_code == 401
    assert (await service.userinfo(own["access_token"])).status_code == 200
    left = await live_sessions(house)
    assert sorted(row["method"] for row in left) == ["twfido:dongle", "twfido:qr"]
    assert "h-sessions" in (await browser.open(HERE)).texts


@SQLITE
async def test_ending_this_one(house: TestHouse) -> None:
    """The cookie goes, a second click is told the same, and the page asks who it is."""
    browser = await home(house)
    page = browser.page
    left = await browser.press("end-1")
    assert left.title.startswith("這個瀏覽器已登出")
    assert SESSION_COOKIE not in browser.cookies["id.test"]
    browser.page = page
    assert urlsplit((await browser.press("end-1")).url).path == f"{HERE}/left"
    assert await live_sessions(house) == []


# ── consents ────────────────────────────────────────────────────────────────────────────────────


async def test_withdrawing_consent(house: TestHouse, service: Service) -> None:
    """Asked once more, then: the consent is gone, refresh and access tokens are dead at every
    endpoint, an unused code too, and the next login asks again. Other services keep theirs."""
    other = await another(house, "other")
    kept = (await other.redeem(await log_in(Browser(house), other))).json()
    browser = Browser(house)
    tokens = await log_in(browser, service, scope="openid offline_access")
    tokens = (await service.redeem(tokens)).json()
    unused = code_in(await browser.open(service.url(scope="openid")))
    page = await browser.open(HERE)
    found = re.search(r'href="(/account/withdraw\?client=service)"', page.html)
    assert found
    await browser.open(found[1])
    page = await browser.press("withdraw")
    assert page.texts["done"].startswith("已取消同意。")
    assert (await service.userinfo(tokens["access_token"])).status_code == 401
    seen = await service.http.post(
        "/introspect", data={"token": tokens["access_token"]}, auth=service.auth()
    )
    assert seen.json() == {"active": False}
    assert (await service.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await service.redeem(unused)).json()["error"] == "invalid_grant"
    assert (await other.userinfo(kept["access_token"])).status_code == 200
    assert "allow" in (await browser.open(service.url(scope="openid"))).buttons()
    (event,) = await house.events("account.consent_withdrawn")
    assert event["client_id"] == "service"


@SQLITE
async def test_nobody_withdraws_for_another(house: TestHouse, service: Service) -> None:
    """Naming a client that only somebody else agreed to changes nothing of theirs."""
    await logged_in(house, service, BOB)
    browser = await home(house)
    assert urlsplit((await browser.open(f"{HERE}/withdraw?client=service")).url).path == HERE
    fields = {**browser.page.forms[0].fields, "client": "service"}
    await browser.send(f"{HERE}/withdraw", fields)
    assert await house.count(consents) == 1
    assert all(row["revoked_at"] is None for row in await rows(house, grants))
    assert await house.events("account.consent_withdrawn") == []


# ── this was not me ─────────────────────────────────────────────────────────────────────────────


async def stop_all(browser: Browser) -> Page:
    await browser.open(f"{HERE}/not-me")
    return await browser.press("stop-all")


async def test_not_me_ends_everything(house: TestHouse, service: Service) -> None:
    """Sessions in every browser, tokens also for offline use, and a verification that has been
    approved but not taken up; of nobody else."""
    theirs = (await service.redeem(await log_in(Browser(house), service, "dongle", BOB))).json()
    thief = Browser(house)
    page = await log_in(thief, service, scope="openid offline_access")
    tokens = (await service.redeem(page)).json()
    late = Browser(house)
    await chosen(late, service, "push", ALICE)
    page = await stop_all(await home(house))
    assert page.title.startswith("已全部停止")
    assert (await service.userinfo(tokens["access_token"])).status_code == 401
    assert (await service.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    is_sent_back(
        (await thief.open(service.url(prompt="none"))).url, "login_required", service.state
    )
    assert "allow" not in (await late.press("check")).buttons()
    assert (await service.userinfo(theirs["access_token"])).status_code == 200
    assert len(await house.events("account.not_me")) == 1
    assert [row["method"] for row in await live_sessions(house)] == ["twfido:dongle"]


async def test_not_me_pauses_pushes_without_telling(house: TestHouse, service: Service) -> None:
    """While paused a push is answered like a number that nobody has, byte for byte; no phone
    rings, QR and dongle work, and the person ends the pause themselves."""
    await chosen(Browser(house), service, "push", BOB)
    house.simulator.deny(qrids(house)[-1])
    await stop_all(await home(house, BOB))
    calls = rung(house)
    refused = await chosen(Browser(house), service, "push", BOB)
    assert rung(house) == calls
    stranger = await chosen(Browser(house), service, "push", "A100000056")
    assert refused.error_code == stranger.error_code == NEUTRAL
    assert plain(refused) == plain(stranger)
    assert "check" in (await chosen(Browser(house), service, "qr", BOB)).buttons()
    browser = await home(house, BOB)
    assert "手機推播通知已暫停" in browser.page.html
    page = await browser.press("resume")
    assert page.texts["done"] == "已恢復手機推播通知。" and "paused" not in page.texts
    page = await chosen(Browser(house), service, "push", BOB)
    assert "check" in page.buttons()


@SQLITE
async def test_a_paused_push_costs_as_much(house: TestHouse, service: Service) -> None:
    """The upstream is asked either way, fails either way, and the same limits count."""
    await stop_all(await home(house, BOB))
    made = []
    for number in (BOB, "A100000056"):
        before = len(house.line.calls)
        await chosen(Browser(house), service, "push", number)
        made.append(len(house.line.calls) - before)
    assert made == [1, 1]
    house.line.cut = True
    pages = [await chosen(Browser(house), service, "push", n) for n in (BOB, "A100000056")]
    assert [page.error_code for page in pages] == ["TF-2202", "TF-2202"]


@SQLITE
async def test_no_link_says_that_all_is_over(house: TestHouse) -> None:
    """Only a page that we led to says what has been done, and in the browser that did it; a form's
    token is no such word."""
    browser = await home(house)
    token = browser.page.forms[0].fields["csrf"]
    for word in ("not-me", "ended", "x", token):
        page = await browser.open(f"{HERE}/left?done={word}")
        assert page.title.startswith("沒有開啟登入紀錄")
        assert "done" not in (await browser.open(f"{HERE}?done={word}")).texts
    stranger = await home(house, BOB)
    await stranger.open(f"{HERE}/not-me")
    link = urlsplit((await stranger.press("stop-all")).url)
    assert (await stranger.open(f"{link.path}?{link.query}")).title.startswith("已全部停止")
    assert (await browser.open(f"{link.path}?{link.query}")).title.startswith("沒有開啟登入紀錄")


@SQLITE
async def test_pressing_not_me_twice(house: TestHouse) -> None:
    """The second click finds nobody logged in, and says so."""
    browser = await home(house)
    page = await browser.open(f"{HERE}/not-me")
    await browser.press("stop-all")
    browser.page = page
    assert urlsplit((await browser.press("stop-all")).url).path == f"{HERE}/left"
    assert len(await house.events("account.not_me")) == 1


# ── who presses ─────────────────────────────────────────────────────────────────────────────────

BUTTONS = ["sessions", "withdraw", "not-me", "push"]
FORGERIES: dict[str, dict[str, str]] = {
    "cross-site": {"sec-fetch-site": "cross-site"},
    "same-site": {"sec-fetch-site": "same-site"},
    "foreign origin": {"origin": "https://evil.test"},
    "no token": {},
    "no mark": {},
    "mark of the token": {},
}


@SQLITE
@pytest.mark.parametrize("button", BUTTONS)
@pytest.mark.parametrize("kind", FORGERIES)
async def test_another_site_presses_nothing(
    house: TestHouse, service: Service, button: str, kind: str
) -> None:
    """CSRF: no token, another site, or a mark that we did not write: 403, and nothing changes."""
    await logged_in(house, service)
    browser = await home(house)
    fields = dict(browser.page.forms[0].fields)
    fields |= {"which": "others", "client": "service"}
    if kind == "no token":
        del fields["csrf"]
    if kind == "no mark":
        del fields["session"]
    before = await stored(house)
    if kind == "mark of the token":
        fields["session"] = fields["csrf"]
        await browser.send(f"{HERE}/{button}", fields)
    else:
        page = await browser.send(f"{HERE}/{button}", fields, **FORGERIES[kind])
        is_page(page, 403, "forged_request")
    assert await stored(house) == before


@SQLITE
async def test_a_page_shown_to_another_person(house: TestHouse, service: Service) -> None:
    """A tab that Alice left open does nothing to Bob, who has logged in since."""
    browser = await home(house)
    page = await browser.open(f"{HERE}/not-me")
    await browser.open(service.url(prompt="login"))
    await verify(browser, "dongle", BOB)
    browser.page = page
    await browser.press("stop-all")
    assert await house.events("account.not_me") == []
    assert [row["method"] for row in await live_sessions(house)] == ["twfido:dongle"]


@SQLITE
async def test_a_session_handle_of_another_person(house: TestHouse, service: Service) -> None:
    """The name of somebody else's session ends nothing."""
    other = await home(house, BOB)
    handle = other.page.form_with("end-1")[1]["value"]
    browser = await home(house)
    fields = {**browser.page.forms[0].fields, "which": handle}
    await browser.send(f"{HERE}/sessions", fields)
    assert len(await live_sessions(house)) == 2
