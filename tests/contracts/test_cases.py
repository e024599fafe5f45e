"""Applications as they are kept: each move whole or not at all, whoever else acts meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from idp.kernel import stored
from idp.kernel.mail import KIND
from idp.kernel.outbox import deliveries
from idp.kernel.tables import (
    attempts,
    case_events,
    cases,
    consents,
    grants,
    history,
    logins,
    outbox,
)
from idp.onboarding import store
from idp.onboarding.calendar import DAY, day_of, roc
from idp.onboarding.cases import MOST_A_DAY, TooMany
from idp.onboarding.forms import BadForm, changes
from idp.onboarding.store import Document, Found, Newer, Stale
from idp.onboarding.workflow import Action, Actor, Kind, Move, NotNow, NotYours, Role, State
from tests.actors import Browser, Service, log_in
from tests.house import Registered, TestHouse
from tests.mailserver import MailServer, mail_server, text_of
from tests.road import (
    ANN,
    EMAIL,
    EXTENSION,
    LETTER,
    OLGA,
    OTTO,
    REMARKS,
    REPORT,
    RITA,
    SYSTEM,
    Road,
    go_live,
)

TEST_CALLBACK = "https://test.library.gov.tw/cb"


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as found:
        yield found


@pytest.fixture
def changed_settings(server: MailServer) -> dict[str, Any]:
    return {"mail": {"host": "127.0.0.1", "port": server.port, "security": "none",
                     "sender": "noreply@id.gov.tw"}}  # fmt: skip


@pytest.fixture
def road(house: TestHouse) -> Road:
    return Road(house)


async def subjects(road: Road, server: MailServer, many: int) -> list[str]:
    """Of the mails so far, when there are so many. A clock that jumps over the lease of a delivery
    makes a second one, of the same Message-ID."""
    for _ in range(500):
        found = {mail["Message-ID"]: str(mail["Subject"]) for mail in server.got}
        if len(found) >= many:
            break
        await asyncio.sleep(0.01)
    return list(found.values())


# ── the way to production ───────────────────────────────────────────────────────────────────────


async def test_from_the_draft_to_production(road: Road, server: MailServer) -> None:
    """Every step with its client, its history and its mail."""
    found = await road.to(State.IN_REVIEW)
    number = found.case.number
    assert number == f"B{_roc(road)}001"
    found = await road.go(found, Move.APPROVE, RITA)
    assert await road.client(f"{number}-test") is None
    found = await road.go(found, Move.APPROVE, OLGA, LETTER)
    test = await road.client(f"{number}-test")
    assert test.metadata.client_name == "借書證" and test.metadata.sandbox
    assert test.metadata.redirect_uris[0] == "https://test.library.gov.tw/cb"
    assert (test.organisation, test.metadata.scopes) == (number, ("openid", "profile"))
    assert "push" not in test.metadata.methods  # a push was not asked for
    found = await road.go(found, Move.REQUEST_GO_LIVE, ANN, go_live(road.now))
    found = await road.go(found, Move.APPROVE, RITA)
    assert await road.client(number) is None
    found = await road.go(found, Move.APPROVE, OLGA, LETTER)
    pilot = await road.client(number)
    assert pilot.metadata.redirect_uris == ("https://library.gov.tw/cb",)
    assert pilot.metadata.allowed_networks == ("203.0.113.0/24", "2001:db8::/64")
    assert not pilot.metadata.sandbox
    found = await road.go(found, Move.SUBMIT_REPORT, ANN, REPORT)
    found = await road.go(found, Move.APPROVE, OTTO)
    await road.wait_for(found.case.planned)
    assert (await road.again(found)).case.state is State.LIVE
    assert (await road.client(number)).metadata.allowed_networks == ()
    moves = [event.move for event in await road.cases.events(number)]
    assert moves == ["open", "submit", "approve", "approve", "request_go_live", "approve",
                     "approve", "submit_report", "approve", "time"]  # fmt: skip
    said = await subjects(road, server, 9)
    assert len(said) == 9 and all(number in each and " / " in each for each in said)
    events = await road.house.events("case.moved")
    assert len(events) == len(moves)


def _roc(road: Road) -> str:
    return roc(day_of(road.now))


@pytest.mark.parametrize("kind", Kind)
async def test_each_kind_has_its_client(road: Road, kind: Kind) -> None:
    found = await road.to(State.SANDBOX, kind)
    assert found.case.number.startswith(kind.letter)
    metadata = (await road.client(f"{found.case.number}-test")).metadata
    if kind is Kind.DATA:
        assert metadata.program and metadata.audience == ("https://api.library.gov.tw/holdings",)
    else:
        assert metadata.kiosk is (kind is Kind.COUNTER) and not metadata.program


async def test_the_pilot_calls_from_its_own_addresses_only(road: Road, browser: Browser) -> None:
    found = await road.to(State.PILOT)
    number = found.case.number
    secret = await road.house.registrar.rotate_secret(number)
    form = {
        "grant_type": "authorization_code",
        "code": "x",
        "redirect_uri": "https://library.gov.tw/cb",
    }
    away = await road.house.http("198.51.100.7").post("/token", data=form, auth=(number, secret))
    assert (away.status_code, away.json()["error"]) == (401, "invalid_client")
    assert away.json()["error_description"] == "this client may not call from 198.51.100.7"
    unknown = await road.house.http("198.51.100.7").post("/token", data=form, auth=(number, "x"))
    assert "198.51.100.7" not in unknown.text  # only the client itself is told
    own = await road.house.http("203.0.113.9").post("/token", data=form, auth=(number, secret))
    assert own.json()["error"] == "invalid_grant"


async def test_the_sandbox_ends_with_all_that_it_left(
    road: Road, browser: Browser, server: MailServer
) -> None:
    """The client stops, and what its logins left is gone; another client's stays."""
    house, tables = road.house, (consents, grants, history, attempts, logins)
    await log_in(browser, Service(house, await house.register("other")))
    before = [await house.count(table) for table in tables]
    assert 0 not in before
    found = await road.to(State.SANDBOX)
    test = f"{found.case.number}-test"
    secret = await house.registrar.rotate_secret(test)
    service = Service(house, Registered(await road.client(test), secret), TEST_CALLBACK)
    page = await log_in(Browser(house), service)
    token = (await service.redeem(page)).json()["access_token"]
    assert (await service.userinfo(token)).status_code == 200
    assert [await house.count(table) for table in tables] == [2 * n for n in before]
    assert found.case.until is not None
    await road.wait(found.case.until - road.now)
    assert (await road.again(found)).case.state is State.EXPIRED
    assert (await road.client(test)).disabled
    assert (await service.userinfo(token)).status_code == 401
    assert [await house.count(table) for table in tables] == before


async def test_mails_of_the_last_weeks(road: Road, server: MailServer) -> None:
    """However often workers look, each is sent once."""
    found = await road.to(State.SANDBOX)
    assert found.case.until is not None
    begun = len(await subjects(road, server, 3))
    for hours in range(0, 16 * 24, 6):
        road.house.clock.pass_(max(0, found.case.until - 15 * DAY + hours * 3600 - road.now))
        await asyncio.gather(road.cases.look(), road.cases.look())
    said = (await subjects(road, server, begun + 4))[begun:]
    heads = [subject.split(" / ")[0].split("：")[0] for subject in said]
    assert heads == [
        "測試期限剩餘 14 天",
        "可以申請延長測試",
        "測試期限剩餘 1 天",
        "測試環境已關閉",
    ]


async def test_an_extension(road: Road) -> None:
    found = await road.to(State.SANDBOX)
    assert found.case.until is not None
    with pytest.raises(NotNow):
        await road.go(found, Move.REQUEST_EXTENSION, ANN, EXTENSION)
    await road.wait(found.case.until - 3 * DAY - road.now)
    await road.go(found, Move.REQUEST_EXTENSION, ANN, EXTENSION)
    await road.wait(30 * DAY)  # pending: the sandbox stays
    assert not (await road.client(f"{found.case.number}-test")).disabled
    refused = await road.go(found, Move.REJECT, RITA, REMARKS)
    assert (refused.case.state, refused.case.until) == (State.SANDBOX, road.now + 3 * DAY)
    await road.go(found, Move.REQUEST_EXTENSION, ANN, EXTENSION)
    granted = await road.go(found, Move.APPROVE, RITA)
    assert granted.case.state is State.SANDBOX_EXTENDED


async def test_suspended_and_resumed(road: Road) -> None:
    found = await road.to(State.LIVE)
    number = found.case.number
    await road.go(found, Move.SUSPEND, OLGA, {"": "憑證到期"})
    assert (await road.client(number)).disabled
    assert (await road.client(f"{number}-test")).disabled
    back = await road.go(found, Move.RESUME, OLGA)
    assert back.case.state is State.LIVE and not (await road.client(number)).disabled


async def test_a_client_that_an_operator_removed_stops_nothing(road: Road) -> None:
    """The clients of a case may be gone: it goes on all the same."""
    found = await road.draft()
    for move, actor, given in ((Move.SUBMIT, ANN, None), (Move.APPROVE, RITA, None)):
        found = await road.go(found, move, actor, given)
    found = await road.go(found, Move.APPROVE, OLGA, LETTER)
    await road.house.registrar.withdraw(f"{found.case.number}-test")
    assert found.case.until is not None
    await road.wait(found.case.until - road.now)
    assert (await road.again(found)).case.state is State.EXPIRED


# ── remarks, changes, removal ───────────────────────────────────────────────────────────────────


async def test_remarks_and_what_changed(road: Road, server: MailServer) -> None:
    found = await road.to(State.IN_REVIEW)
    first = found.document.application
    found = await road.go(found, Move.RETURN, RITA, REMARKS)
    assert found.document.remarks == REMARKS
    await subjects(road, server, 2)
    (told,) = (mail for mail in server.got if "需要修改" in mail["Subject"])
    assert "請說明用途" in text_of(told)
    described = SYSTEM | {"description": "借書、預約與通知"}
    await road.cases.save(found.case.number, "system", described, ANN)
    found = await road.go(found, Move.SUBMIT, ANN)
    assert found.document.remarks == {} and found.document.before_that == first
    (changed,) = changes(found.document.before_that, found.document.application)
    assert (changed.where, changed.before, changed.after) == (
        "system.description", "借書與預約", "借書、預約與通知",
    )  # fmt: skip
    events = await road.cases.events(found.case.number)
    assert events[2].detail["remarks"] == REMARKS


@pytest.mark.parametrize("given", [{}, {"": " "}, {"nothing.here": "x"}, {"system.x": "y"}])
async def test_a_refusal_says_what_is_wrong(road: Road, given: dict[str, str]) -> None:
    found = await road.to(State.IN_REVIEW)
    with pytest.raises(BadForm):
        await road.go(found, Move.REJECT, RITA, given)
    assert (await road.again(found)).case.state is State.IN_REVIEW


async def test_a_change_of_production(road: Road) -> None:
    """Two officers, and only then another redirect address."""
    live = await road.to(State.LIVE)
    number = live.case.number
    later = await road.cases.open(Kind.SERVICE, EMAIL, ANN, action=Action.CHANGE, parent=number)
    assert later.case.number == f"{number}-2"
    assert later.document.draft["system"]["name"] == "借書證"  # begins with what there is
    await road.cases.save(later.case.number, "system", SYSTEM | {"name": "新借書證"}, ANN)
    for move, actor in ((Move.SUBMIT, ANN), (Move.APPROVE, RITA)):
        await road.go(later, move, actor)
    assert (await road.client(number)).metadata.client_name == "借書證"
    with pytest.raises(NotYours):
        await road.go(later, Move.APPROVE, RITA)
    done = await road.go(later, Move.APPROVE, OTTO)
    assert done.case.state is State.DONE
    for client_id in (number, f"{number}-test"):
        assert (await road.client(client_id)).metadata.client_name == "新借書證"
    assert (await road.client(number)).metadata.redirect_uris == ("https://library.gov.tw/cb",)
    assert (await road.again(live)).title == "新借書證"
    removal = await road.cases.open(Kind.SERVICE, EMAIL, ANN, action=Action.REMOVAL, parent=number)
    assert removal.case.number == f"{number}-3"
    for move, actor in ((Move.SUBMIT, ANN), (Move.APPROVE, RITA), (Move.APPROVE, OTTO)):
        await road.go(removal, move, actor)
    assert (await road.again(live)).case.state is State.DELETED
    assert (await road.client(number)).disabled


async def test_a_draft_cannot_be_changed_by_a_case(road: Road) -> None:
    found = await road.draft()
    for parent in (found.case.number, "B1150101001"):
        with pytest.raises((ValueError, LookupError)):
            await road.cases.open(Kind.SERVICE, EMAIL, ANN, action=Action.CHANGE, parent=parent)


# ── bad input ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("step", "field", "value"),
    [
        ("system", "name", ""),
        ("system", "name", "x" * 101),
        ("system", "name", "借\u202e書"),
        ("system", "served", ["外星人"]),
        ("system", "planned", "2026-02-30"),
        ("system", "volume_peak", "很多"),
        ("contacts", "contact_email", "ann@library.gov.tw\r\nBcc: eve@evil.test"),
        ("contacts", "contact_phone", "call me"),
        ("organisation", "kind", "政府機關 "),
        ("protocol", "redirect_uris", "http://library.gov.tw/cb"),
        ("protocol", "redirect_uris", "https://a.gov.tw/cb?state=1"),
        ("protocol", "redirect_uris", "javascript:alert(1)"),
        ("protocol", "redirect_uris", "https://a.gov.tw/cb\nhttps://b.gov.tw/cb"),
        ("protocol", "redirect_uris", ""),
        ("protocol", "redirect_uris", "\n".join(f"https://a.gov.tw/{n}" for n in range(31))),
        ("protocol", "scopes", "openid"),
        ("protocol", "scopes", "openid 登入\nmoney 領錢"),
        ("protocol", "token_endpoint_auth_method", "none"),
        ("protocol", "token_endpoint_auth_method", "private_key_jwt"),
        ("protocol", "backchannel_logout_uri", "ftp://a.gov.tw/"),
        ("protocol", "policy_uri", "ftp://a.gov.tw/"),
        ("protocol", "push", "perhaps"),
    ],
)
async def test_what_cannot_be_is_named_and_kept(
    road: Road, step: str, field: str, value: Any
) -> None:
    """A draft holds what was typed; to submit it names the field, and nothing has moved."""
    changed: dict[str, Any] = {step: {field: value}}
    found = await road.draft(**changed)
    assert found.document.draft[step][field] == value
    with pytest.raises(BadForm) as bad:
        await road.go(found, Move.SUBMIT, ANN)
    assert set(bad.value.faults) <= {f"{step}.{field}", step} and bad.value.faults
    assert (await road.again(found)).version == found.version


@pytest.mark.parametrize(
    ("step", "fields"),
    [
        ("nothing", {}),
        ("dataset", {}),
        ("system", {"trusted": True}),
        ("protocol", {"client_id": "other"}),
        ("system", {"description": "x" * 50_000}),
    ],
)
async def test_what_is_not_asked_for_is_not_kept(
    road: Road, step: str, fields: dict[str, Any]
) -> None:
    """Mass assignment, and a draft that would fill the disk."""
    found = await road.draft()
    with pytest.raises(BadForm):
        await road.cases.save(found.case.number, step, fields, ANN)
    assert (await road.again(found)).version == found.version


@pytest.mark.parametrize(
    "changed",
    [
        {"networks": ""},
        {"networks": "203.0.113.1/24"},
        {"networks": "library.gov.tw"},
        {"redirect_uris": ""},
        {"redirect_uris": "https://a.gov.tw/cb\nhttps://b.gov.tw/cb"},
        {"planned": "2020-01-01"},
        {"planned": "tomorrow"},
        {"checklist": ""},
        {"trusted": "1"},
    ],
)
async def test_a_go_live_that_cannot_be(road: Road, changed: dict[str, str]) -> None:
    found = await road.to(State.SANDBOX)
    with pytest.raises(BadForm):
        await road.go(found, Move.REQUEST_GO_LIVE, ANN, go_live(road.now) | changed)
    assert (await road.again(found)).case.state is State.SANDBOX


async def test_an_applicant_under_another_account_reviews_nothing(road: Road) -> None:
    found = await road.to(State.IN_REVIEW)
    with pytest.raises(NotYours):
        await road.go(found, Move.APPROVE, Actor(Role.REVIEWER, "ann"))
    with pytest.raises(NotYours):
        await road.go(found, Move.APPROVE, ANN)


# ── several at once ─────────────────────────────────────────────────────────────────────────────


async def test_two_officers_at_once(road: Road, server: MailServer) -> None:
    """One decision counts, and one mail is written."""
    found = await road.to(State.IN_REVIEW)
    number = found.case.number
    results = await asyncio.gather(
        road.cases.move(number, Move.APPROVE, RITA),
        road.cases.move(number, Move.REJECT, OTTO, REMARKS),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Found) for result in results) == 1
    assert all(isinstance(r, Found | Stale | NotNow | NotYours) for r in results)
    assert len(await road.cases.events(number)) == 3
    assert await road.house.count(outbox) == 2


async def test_what_somebody_looked_at_is_not_what_they_decide_about(road: Road) -> None:
    found = await road.to(State.IN_REVIEW)
    await road.go(found, Move.RETURN, RITA, REMARKS)
    await road.go(found, Move.SUBMIT, ANN)
    with pytest.raises(Stale):
        await road.cases.move(found.case.number, Move.APPROVE, RITA, seen=found.version)


async def test_workers_at_once_move_a_case_once(road: Road, server: MailServer) -> None:
    found = await road.to(State.SANDBOX)
    assert found.case.until is not None
    road.house.clock.pass_(found.case.until - road.now)
    await asyncio.gather(*(road.cases.look() for _ in range(8)))
    moves = [event.move for event in await road.cases.events(found.case.number)]
    assert moves.count("time") == 1
    said = await subjects(road, server, 4)
    assert sum("測試環境已關閉" in subject for subject in said) == 1


async def test_numbers_are_given_once(road: Road) -> None:
    many = await asyncio.gather(
        *(road.cases.open(Kind.SERVICE, EMAIL, ANN) for _ in range(4)), return_exceptions=True
    )
    numbers = [found.case.number for found in many if isinstance(found, Found)]
    assert len(set(numbers)) == len(numbers) >= 3
    found = await road.cases.open(Kind.COUNTER, EMAIL, ANN)
    last = replace(found, case=replace(found.case, number=f"C{_roc(road)}{MOST_A_DAY}"))
    keeper = store.CaseStore(road.house.services.vault)
    await road.house.services.database.write(lambda tx: keeper.insert(tx, last))
    with pytest.raises(TooMany):
        await road.cases.open(Kind.COUNTER, EMAIL, ANN)


async def test_a_case_that_fails_does_not_hold_up_the_others(road: Road) -> None:
    first, second = await road.to(State.SANDBOX), await road.to(State.SANDBOX)
    database, vault = road.house.services.database, road.house.services.vault
    broken = vault.seal("case", "no document")
    await database.run(
        update(cases)
        .where(cases.c.number == first.case.number)
        .values(document_sealed=broken, look_at=1)
    )
    assert second.case.until is not None
    await road.wait(second.case.until - road.now)
    assert (await road.again(second)).case.state is State.EXPIRED


# ── kept for long ───────────────────────────────────────────────────────────────────────────────


async def test_a_row_of_tomorrow_is_readable(road: Road) -> None:
    """Members that are unknown are ignored, missing ones have a default; a state of tomorrow is
    shown in lists and moved by nobody."""
    found = await road.draft()
    database, vault = road.house.services.database, road.house.services.vault
    document = json.loads(stored.dump(found.document))
    document |= {"of_tomorrow": [1]}
    del document["letters"], document["asked_at"]
    row = update(cases).where(cases.c.number == found.case.number)
    await database.run(row.values(document_sealed=vault.seal("case", json.dumps(document))))
    assert (await road.again(found)).document.draft == found.document.draft
    await database.run(row.values(state="quantum_review"))
    with pytest.raises(Newer):
        await road.again(found)
    (line,) = await store.page(database)
    assert line.state == "quantum_review"


async def test_every_member_has_a_default() -> None:
    assert stored.read(Document, "{}") == Document()


async def test_what_names_persons_is_sealed(road: Road) -> None:
    found = await road.to(State.IN_REVIEW)
    await road.go(found, Move.RETURN, RITA, REMARKS)
    rows = [
        *await road.house.services.database.all(select(cases)),
        *await road.house.services.database.all(select(case_events)),
        *await road.house.services.database.all(select(outbox)),
    ]
    text = json.dumps([dict(row) for row in rows], ensure_ascii=False)
    assert not any(word in text for word in ("王小明", "02-2361", EMAIL, "請說明用途"))


async def test_lists_turn_pages(road: Road) -> None:
    for _ in range(3):
        await road.cases.open(Kind.SERVICE, EMAIL, ANN)
        road.house.clock.pass_(1)
    await road.cases.open(Kind.DATA, EMAIL, ANN)
    database, seen, after = road.house.services.database, [], None
    while lines := await store.page(database, after=after, most=2):
        seen += [line.number for line in lines]
        after = (lines[-1].created_at, lines[-1].number)
    assert len(seen) == len(set(seen)) == 4 and seen[0].startswith("A")
    assert await store.counts(database) == {"draft": 4}
    assert await store.page(database, state="live") == []


async def test_a_mail_that_cannot_be_sent_stops_no_case(road: Road, server: MailServer) -> None:
    server.answer = "550 no"
    found = await road.to(State.IN_REVIEW)
    for _ in range(300):
        (sent,) = await deliveries(road.house.services.database, KIND, found.case.number)
        if sent.ended_at:
            break
        await asyncio.sleep(0.01)
    assert sent.state == "failed"
    assert (await road.again(found)).case.state is State.IN_REVIEW
