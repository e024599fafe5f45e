"""What a program does that logs people in; a test file gives the fixture `site`, a Site that is
registered and runs. Its page for who is logged in shows the claims under the id `claims` and has
the buttons `renew` and `leave`."""

from __future__ import annotations

from tests.clients.lab import Lab
from tests.clients.person import STRANGER
from tests.clients.site import Site, shown


class LogsIn:
    """Inherited by a class whose name begins with Test. `start` begins a login; `level` is what
    the program reads of the level of assurance."""

    start = "/login"
    level: str | None = "urn:twfido:qr"

    def test_a_person_without_name_and_email_logs_in(self, lab: Lab, site: Site) -> None:
        """The subject and the level are read, and nothing else is needed."""
        claims = shown(lab.person(number=STRANGER).walk(site.url + self.start))
        assert claims["sub"]
        assert claims.get("acr") == self.level
        assert not claims.keys() & {"name", "email"}

    def test_whoever_cancels_sees_the_programs_own_page(self, lab: Lab, site: Site) -> None:
        """A refusal is told by the program, and nobody is logged in."""
        person = lab.person()
        page = person.cancel(site.url + self.start)
        assert page.url.startswith(site.url)
        assert page.status in (401, 403)
        assert "access_denied" in page.html
        assert "claims" not in person.open(site.url).texts

    def test_a_refresh_tells_the_claims_anew(self, lab: Lab, site: Site) -> None:
        """The refresh token gives an access token with which UserInfo answers."""
        person = lab.person()
        before = shown(person.walk(site.url + self.start))
        assert before["name"] == "王小明"
        assert shown(person.press(person.pages[-1], "renew")) == before

    def test_logout_ends_both_sessions_and_returns(self, lab: Lab, site: Site) -> None:
        """The person is back at the program, and the next login asks them again."""
        person = lab.person()
        page = person.press(person.walk(site.url + self.start), "leave")
        assert page.url == site.url + "/"
        assert "claims" not in page.texts
        assert "continue" in person.open(site.url + self.start).buttons()
