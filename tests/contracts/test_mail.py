"""Mail over a real SMTP server: what was committed arrives once, and a bad address ends at once."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from idp.kernel.database import Database, Transaction
from idp.kernel.mail import KIND, Letter, Mailer, an_address, one_line
from idp.kernel.outbox import Delivery, Outbox, State, deliveries
from idp.kernel.settings import MailSettings
from idp.kernel.vault import Vault
from tests.certificates import LONG, Pair
from tests.house import StillClock
from tests.mailserver import MailServer, mail_server, text_of

LETTER = Letter(
    "ann@agency.gov.tw", "審核通過 / Approved", "通過。\n\nApproved.\n", "<p>通過。</p>"
)


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as found:
        yield found


class Office:
    """One worker's outbox and mailer."""

    def __init__(self, database: Database, clock: StillClock, **settings: Any) -> None:
        self.database, self.clock = database, clock
        self.outbox = Outbox(database, Vault(bytes(32)), clock)
        known = {"sender": "noreply@id.gov.tw", "security": "none", "host": "127.0.0.1"} | settings
        self.mailer = Mailer(MailSettings(**known), self.outbox, clock, "登入")
        self.mailer.serve()

    async def put(self, letter: Letter = LETTER, about: str = "B1") -> None:
        async def work(tx: Transaction) -> None:
            await self.mailer.put(tx, about, letter)

        await self.database.write(work)

    async def log(self, about: str = "B1") -> Delivery:
        (found,) = await deliveries(self.database, KIND, about)
        return found

    async def reaches(self, state: State, about: str = "B1") -> Delivery:
        for _ in range(500):
            if (found := await self.log(about)).state is state:
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(found)


Open = Callable[..., Office]


@pytest.fixture
async def opened(database: Database, clock: StillClock) -> AsyncIterator[Open]:
    made: list[Office] = []

    def make(**settings: Any) -> Office:
        made.append(Office(database, clock, **settings))
        return made[-1]

    yield make
    for office in made:
        await office.outbox.aclose()


async def test_text_and_html_arrive(opened: Open, server: MailServer) -> None:
    office = opened(port=server.port)
    await office.put()
    await office.reaches(State.DELIVERED)
    (mail,) = server.got
    assert (mail["From"], mail["To"]) == ("登入 <noreply@id.gov.tw>", LETTER.to)
    assert mail["Subject"] == LETTER.subject
    assert mail["Auto-Submitted"] == "auto-generated"
    assert text_of(mail).split() == LETTER.text.split()
    assert text_of(mail, "html").strip() == LETTER.html


async def test_a_header_cannot_be_added(opened: Open, server: MailServer) -> None:
    """A subject that holds lines, and an address that does, begin no header of their own."""
    office = opened(port=server.port)
    await office.put(Letter(LETTER.to, "名\r\nBcc: eve@evil.test\r\n\r\nbody", "x", "x"))
    await office.reaches(State.DELIVERED)
    (mail,) = server.got
    assert mail["Bcc"] is None and mail["Subject"] == "名 Bcc: eve@evil.test body"
    await office.put(Letter("ann@agency.gov.tw\r\nBcc: eve@evil.test", "s", "x", "x"), "B2")
    assert (await office.reaches(State.WAITING, "B2")).tries <= 1
    assert len(server.got) == 1


async def test_a_server_that_is_away_for_a_day_loses_nothing(
    opened: Open, clock: StillClock
) -> None:
    """And each mail comes once."""
    with mail_server() as gone:
        port = gone.port
    office = opened(port=port)
    for number in range(3):
        await office.put(about=f"B{number}")
    for _ in range(24):
        clock.pass_(3601)
        await office.outbox.look()
    waiting = [await office.log(f"B{n}") for n in range(3)]
    assert {w.state for w in waiting} == {State.WAITING}
    assert all(w.tries > 3 for w in waiting)
    with mail_server(port=port) as back:
        clock.pass_(3601)
        await office.outbox.look()
        for number in range(3):
            await office.reaches(State.DELIVERED, f"B{number}")
        clock.pass_(3601)
        await office.outbox.look()
    assert len({mail["Message-ID"] for mail in back.got}) == len(back.got) == 3


@pytest.mark.parametrize(
    ("answer", "state"),
    [("550 no such user", State.FAILED), ("451 greylisted", State.WAITING)],
)
async def test_a_refusal_for_good_and_one_for_now(
    opened: Open, server: MailServer, answer: str, state: State
) -> None:
    server.answer = answer
    office = opened(port=server.port)
    await office.put()
    for _ in range(300):
        if (found := await office.log()).answer:
            break
        await asyncio.sleep(0.01)
    assert (found.state, found.answer) == (state, f"refused: {answer[:3]}")
    assert "ann" not in found.answer and server.got == []


async def test_starttls_with_a_name_and_an_own_authority(opened: Open, tmp_path: Path) -> None:
    ca = Pair.issued("ca", ca=True, days=LONG)
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    own = Pair.issued(
        "localhost",
        ca,
        names=(x509.DNSName("localhost"),),
        days=LONG,
        purposes=(ExtendedKeyUsageOID.SERVER_AUTH,),
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.write(tmp_path / "server.pem"))
    with mail_server(context) as server:
        secret = {"security": "starttls", "host": "localhost", "port": server.port,
                  "username": "idp", "password": "pw"}  # fmt: skip
        stranger = opened(**secret)
        await stranger.put(about="B2")
        for _ in range(300):
            if (found := await stranger.log("B2")).answer:
                break
            await asyncio.sleep(0.01)
        assert found.state is State.WAITING and server.got == [] and server.logins == []
        await stranger.outbox.aclose()
        office = opened(**secret, ca_file=tmp_path / "ca.pem")
        await office.put()
        await office.reaches(State.DELIVERED)
        assert server.logins == ["idp:pw"] and len(server.got) == 1


async def test_development_keeps_files(opened: Open, tmp_path: Path) -> None:
    office = opened(host="", directory=tmp_path / "mail")
    await office.put()
    await office.reaches(State.DELIVERED)
    (file,) = (tmp_path / "mail").iterdir()
    assert LETTER.to in file.read_text()


async def test_without_a_server_mail_waits(opened: Open) -> None:
    office = opened(host="")
    await office.put()
    await office.outbox.look()
    assert (await office.log()).tries == 0


@pytest.mark.parametrize("bad", [
    "", "ann", "@x.tw", "ann@x", "a b@x.tw", "ann@x.tw\r\nBcc: e@x.tw", "ann@[127.0.0.1]",
    "安@x.tw", "a@b@x.tw", "<ann@x.tw>", "ann@x.tw,eve@x.tw", "a" * 65 + "@x.tw",
    "ann@" + "x." * 200 + "tw",
])  # fmt: skip
def test_what_is_no_address_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="no mail address"):
        an_address(bad)


def test_an_address_is_kept_in_one_form() -> None:
    assert an_address("Ann.Lee@Agency.GOV.tw") == "Ann.Lee@agency.gov.tw"
    assert one_line("a\r\nb\u2028c\x00d") == "a b c d"
