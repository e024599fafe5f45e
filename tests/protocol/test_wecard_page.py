"""The page where a person gets a binding code for a card."""

from __future__ import annotations

import httpx

from tests.wecard import (
    ALICE,
    BOB,
    CARD,
    ISSUER,
    REFUSED,
    WORD_CARD,
    Organisation,
    card_database,
    found,
    hidden,
    organisation,
)

__all__ = ["card_database", "found", "organisation"]


async def test_the_page_wants_a_verified_person(organisation: Organisation) -> None:
    """Without a session the login begins, and leads back to the page."""
    async with organisation.browser(None) as browser:
        answer = await browser.get("/wecard")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login/begun")
    (purpose,) = organisation.login.begun
    assert (purpose.relying_party, purpose.return_to) == ("/wecard", "/wecard")
    assert purpose.cancel_to == "/wecard/left"


async def test_who_cancels_is_not_asked_again(organisation: Organisation) -> None:
    """Cancelling the login leads to a page of its own, not into the next login."""
    async with organisation.browser(None) as browser:
        answer = await browser.get("/wecard/left")
    assert answer.status_code == 200
    assert 'href="/wecard"' in answer.text
    assert organisation.login.begun == []


async def test_the_page_shows_the_person_s_valid_cards(organisation: Organisation) -> None:
    """The card number in full, the name masked, no expired card, nobody else's."""
    async with organisation.browser(ALICE) as browser:
        page = await browser.get("/wecard")
    assert CARD in page.text
    assert "王○明" in page.text
    assert 'id="get-code"' in page.text
    assert "99000001" not in page.text
    assert WORD_CARD not in page.text
    assert page.headers["cache-control"] == "no-store"


async def test_a_person_without_a_card_is_told(organisation: Organisation) -> None:
    """Who has no card sees that, and no button."""
    async with organisation.browser(BOB) as browser:
        page = await browser.get("/wecard?lang=en")
    assert "no-card" in page.text
    assert "get-code" not in page.text
    assert "You have no card to bind" in page.text


async def _page(browser: httpx.AsyncClient) -> dict[str, str]:
    return hidden((await browser.get("/wecard")).text)


async def test_a_code_is_shown_once(organisation: Organisation) -> None:
    """A reload makes no new code; asking again does, and voids the one before."""
    async with organisation.browser(ALICE) as browser:
        form = await _page(browser)
        first = await browser.post("/wecard", data=form)
        again = await browser.post("/wecard", data=form)
        second = await browser.post("/wecard", data=await _page(browser))
    assert 'id="code"' in first.text
    assert first.headers["cache-control"] == "no-store"
    assert 'id="code"' not in again.text
    assert 'id="notice"' in again.text
    assert 'id="code"' in second.text
    old, new = (page.text.split('id="code"')[1].split(">")[1].split("<")[0] for page in
                (first, second))  # fmt: skip
    assert (await organisation.ask(CARD, old)).received == REFUSED
    assert (await organisation.ask(CARD, new)).answered
    assert len(await organisation.events("card.code_issued")) == 2


async def test_nobody_gets_a_code_for_another_s_card(organisation: Organisation) -> None:
    """The card in the form must be the person's own and valid."""
    async with organisation.browser(ALICE) as browser:
        for card in (WORD_CARD, "99000001", "nobody", ""):
            form = await _page(browser)
            answer = await browser.post("/wecard", data={**form, "card": card})
            assert 'id="code"' not in answer.text
    assert await organisation.unspent() == 0


async def test_a_form_from_elsewhere_is_refused(organisation: Organisation) -> None:
    """Another site can neither press the button nor bring its own csrf value."""
    async with organisation.browser(ALICE) as browser:
        form = await _page(browser)
        other = await browser.post("/wecard", data=form, headers={"origin": "https://evil.example"})
        bare = await browser.post("/wecard", data={**form, "csrf": ""})
        twice = await browser.post("/wecard", content="csrf=a&csrf=b", headers={
            "content-type": "application/x-www-form-urlencoded"})  # fmt: skip
    async with organisation.browser(ALICE) as browser:
        foreign = await browser.post("/wecard", data=form)
    assert [r.status_code for r in (other, bare, twice, foreign)] == [403, 403, 400, 403]
    assert await organisation.unspent() == 0


async def test_without_a_session_no_code(organisation: Organisation) -> None:
    """A session that ended meanwhile leads to the login, not to a code."""
    async with organisation.browser(ALICE) as browser:
        form = await _page(browser)
        organisation.clock.at += 1800
        answer = await browser.post("/wecard", data=form)
    assert answer.status_code == 303
    assert await organisation.unspent() == 0


async def test_codes_are_rationed(organisation: Organisation) -> None:
    """Ten codes an hour are enough for anybody."""
    async with organisation.browser(ALICE) as browser:
        answers = [await browser.post("/wecard", data=await _page(browser)) for _ in range(11)]
        organisation.clock.at += 1799
        await browser.get("/wecard")
        organisation.clock.at += 1799
        await browser.get("/wecard")
        organisation.clock.at += 2
        later = await browser.post("/wecard", data=await _page(browser))
    assert [a.status_code for a in answers] == [200] * 10 + [429]
    assert 'id="code"' in later.text


async def test_the_pages_speak_english(organisation: Organisation) -> None:
    """Every sentence of the three pages has its English."""
    async with organisation.browser(ALICE) as browser:
        browser.headers["accept-language"] = "en"
        cards = await browser.get("/wecard")
        code = await browser.post("/wecard", data=await _page(browser))
        left = await browser.get("/wecard/left")
    for page, sentence in ((cards, "Get a binding code"), (code, "Your binding code"),
                           (left, "Sign-in cancelled")):  # fmt: skip
        assert sentence in page.text
        assert page.headers["content-language"] == "en"
    assert ISSUER not in cards.text
