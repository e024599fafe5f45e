"""What any API behind tokens of the bridge must do; a test file gives the fixture `api`, a Site
that is registered and runs, with `/v1/whoami` for the scope transport:read."""

from __future__ import annotations

import pytest

from tests.clients.lab import Lab
from tests.clients.site import Site, call, program_token

JUNK = ["a", "a.b.c", "eyJ9.eyJ9.", "eyJhbGciOiJub25lIn0.e30.", "é.é.é", "x" * 9000]


class Guarded:
    """Inherited by a class whose name begins with Test."""

    def test_a_program_with_the_scope_passes(self, lab: Lab, api: Site) -> None:
        """The API sees whose token it is, and the roles that the operator gave."""
        answer = call(api.url + "/v1/whoami", program_token(lab, api.client))
        assert answer.json() == {"client": api.client[0], "roles": ["basic"]}

    def test_a_token_without_the_scope_is_told_so(self, lab: Lab, api: Site) -> None:
        """The program is who it says, and may not."""
        scope = ("--scope", "library:read", "--audience", api.url)
        token = program_token(lab, lab.client("--name", "x", *scope))
        assert call(api.url + "/v1/whoami", token).status_code == 403

    def test_a_token_for_elsewhere_opens_nothing(self, lab: Lab, api: Site) -> None:
        """Its audience is the issuer."""
        token = program_token(lab, lab.client("--name", "x", "--scope", "transport:read"))
        assert call(api.url + "/v1/whoami", token).status_code == 401

    @pytest.mark.parametrize("junk", ["", *JUNK], ids=lambda junk: junk[:12] or "nothing")
    def test_what_is_no_token_is_refused(self, api: Site, junk: str) -> None:
        """Whatever is sent, the answer is 401."""
        assert call(api.url + "/v1/whoami", junk).status_code == 401

    def test_a_changed_token_is_refused(self, lab: Lab, api: Site) -> None:
        """The signature is looked at."""
        head, body, signature = program_token(lab, api.client).split(".")
        other = ("A" if signature[0] != "A" else "B") + signature[1:]
        assert call(api.url + "/v1/whoami", f"{head}.{body}.{other}").status_code == 401
