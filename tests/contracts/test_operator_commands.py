"""What operators type: it says what it did, to whom and why, and what to do where it cannot."""

from __future__ import annotations

import json
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from idp import __version__
from idp.cli import app
from idp.cli.common import Stop
from idp.kernel import schema
from idp.kernel.errors import Unavailable
from idp.kernel.sqlite import Sqlite
from idp.registry.changes import Registrar
from tests.house import API_KEY, SYSCODE
from tests.services.process import free_port

NUMBER, MASKED = "A123456789", "A1****6789"
MEMBERS = "card_number,name,gender,identity_type,organization\n"


@dataclass
class Said:
    """What a command printed, and its exit status."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@dataclass
class Desk:
    """A terminal with a configuration of its own."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "idp.toml"

    def write(self, **more: str) -> None:
        known = {
            "database": f'url = "sqlite:///{self.folder}/idp.sqlite3"',
            "keys": f'directory = "{self.folder}/keys"',
            "oidc": 'scopes = ["api:read"]',
            "twfido": f'base_url = "http://127.0.0.1:{free_port()}"\nsyscode = "{SYSCODE}"\n'
            f'api_keys = ["{API_KEY}"]',
        }
        sections = [f"[{name}]\n{text}\n" for name, text in (known | more).items()]
        head = 'environment = "development"\nissuer = "http://127.0.0.1:8000"\n'
        self.config.write_text(head + "".join(sections), encoding="utf-8")

    def type(self, *words: str, given: str = "") -> Said:
        done = CliRunner().invoke(app, ["-c", str(self.config), *words], input=given)
        if isinstance(done.exception, Stop):
            return Said(done.exception.status, done.stdout, f"{done.stderr}{done.exception}")
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Said(done.exit_code, done.stdout, done.stderr)

    def json(self, *words: str) -> Any:
        said = self.type(*words, "--json")
        assert said.code == 0, said
        return json.loads(said.out)

    def audit(self, *words: str) -> list[dict[str, Any]]:
        said = self.type("audit", "list", *words)
        assert said.code == 0, said
        return [json.loads(line) for line in said.lines]

    def clients(self, text: str) -> str:
        """Writes a file for `client apply`."""
        file = self.folder / "clients.toml"
        file.write_text(text, encoding="utf-8")
        return str(file)


@pytest.fixture
def fresh(tmp_path: Path) -> Desk:
    """Nothing is there but the configuration."""
    desk = Desk(tmp_path)
    desk.write()
    return desk


@pytest.fixture
def desk(fresh: Desk) -> Desk:
    """The schema is there."""
    schema.upgrade(f"sqlite:///{fresh.folder}/idp.sqlite3")
    return fresh


def test_the_version_is_told(fresh: Desk) -> None:
    """`idp --version` needs no configuration that works."""
    assert fresh.type("--version").out == f"idp {__version__}\n"


# ── who did what to whom, and why ───────────────────────────────────────────────────────────────


def test_a_person_is_disabled_with_a_reason(desk: Desk) -> None:
    """The command says whom, masked, and whether they were ever here; the trail who and why."""
    said = desk.type("person", "disable", NUMBER, "--reason", "  a  letter\n of today ")
    assert said.out == f"{MASKED}: disabled (has never logged in here)\n"
    assert desk.type("person", "enable", NUMBER).out == f"{MASKED}: enabled\n"
    first, second = desk.audit("--person", NUMBER)
    me = pwd.getpwuid(os.getuid()).pw_name
    assert (first["event"], first["detail"]) == (
        "person.disabled", {"actor": me, "reason": "a letter of today"},
    )  # fmt: skip
    assert (second["event"], second["detail"]) == ("person.enabled", {"actor": me})
    assert NUMBER not in desk.type("audit", "list").out


def test_the_operator_behind_sudo(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root acts for somebody whom sudo names; anybody else's word for it does not count."""
    monkeypatch.setenv("SUDO_USER", "alice")
    for uid, actor in ((0, "alice"), (4_000_000, "uid 4000000")):
        monkeypatch.setattr(os, "getuid", lambda uid=uid: uid)
        desk.type("person", "disable", NUMBER)
        assert desk.audit()[-1]["detail"]["actor"] == actor


def test_every_act_takes_a_reason(desk: Desk) -> None:
    """Disabling and enabling a client or an organisation, changing a secret or a key."""
    desk.type("org", "create", "--id", "ncl", "--name", "國家圖書館")
    desk.type("client", "create", "--name", "x", "--client-id", "c")
    acts = [
        ("client", "update", "c", "--set", "agency=國家圖書館"),
        ("client", "rotate-secret", "c"),
        ("client", "disable", "c"),
        ("client", "enable", "c"),
        ("org", "disable", "ncl"),
        ("org", "enable", "ncl"),
        ("keys", "rotate"),
    ]
    for act in acts:
        said = desk.type(*act, "--reason", " ".join(act[:2]))
        assert said.code == 0, said
    told = [e["detail"]["reason"] for e in desk.audit() if "reason" in e["detail"]]
    assert told == [" ".join(act[:2]) for act in acts]
    assert all("actor" in e["detail"] for e in desk.audit())


# ── clients from options and files ──────────────────────────────────────────────────────────────

SAME = {
    "a site": (
        ["--redirect-uri", "https://a.test/cb"],
        'redirect_uris = ["https://a.test/cb"]',
    ),
    "a program": ([], ""),
    "a site with a sector": (
        ["--redirect-uri", "https://a.test/cb https://b.test/cb", "--sector", "ours"],
        'redirect_uris = ["https://a.test/cb", "https://b.test/cb"]\nsector = "ours"',
    ),
    "an app": (
        ["--native", "--public", "--redirect-uri", "http://127.0.0.1/cb"],
        'redirect_uris = ["http://127.0.0.1/cb"]\napplication_type = "native"\n'
        'token_endpoint_auth_method = "none"',
    ),
    "all kinds of member": (
        ["--redirect-uri", "https://a.test/cb", "--scope", "openid email", "--scope", "api:read",
         "--trusted", "--require-pkce", "--token-seconds", "60", "--name-en", "One",
         "--role", "a b", "--default-max-age", "0", "--default-acr-values", "urn:a urn:b"],
        'redirect_uris = ["https://a.test/cb"]\nscopes = ["openid", "email", "api:read"]\n'
        'trusted = true\nrequire_pkce = true\naccess_token_seconds = 60\n'
        'client_name_en = "One"\nroles = ["a", "b"]\n'
        'default_max_age = 0\ndefault_acr_values = ["urn:a", "urn:b"]',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("options", "table"), SAME.values(), ids=SAME)
def test_options_and_file_make_the_same_client(desk: Desk, options: list[str], table: str) -> None:
    """What is left out has the same default on the command line and in a file."""
    made = desk.type("client", "create", "--name", "c", "--client-id", "c", *options)
    assert made.code == 0, made
    file = desk.clients(f'[clients.c]\nclient_name = "c"\n{table}\n')
    assert desk.type("client", "apply", "-f", file).lines == ["c: unchanged"]


def test_a_typo_is_told_with_its_client(desk: Desk) -> None:
    """Every fault of a file at once: the client, the member, and what was probably meant."""
    file = desk.clients("""
        [clients.one]
        client_name = "One"
        scpoes = ["openid"]
        [clients.two]
        client_name = "Two"
        redirect_uris = ["http://service.test/"]
        scopes = ["x"]
        [clients.three]
        client_name = "Three"
        scopes = ["api:raed"]
        """)
    said = desk.type("client", "apply", "-f", file, "--dry-run")
    assert said.code == 1
    assert said.err.splitlines() == [
        "client one: scpoes: no such member (did you mean scopes?)",
        "client two: authorization_code needs the scope openid, or the audience of an API",
        "client two: https is required, or http to loopback: http://service.test/",
        "client three: scopes: not in the setting oidc.scopes: api:raed (did you mean api:read?)",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[client.one]\nclient_name = 'x'", "client: only [clients.ID] tables are read"),
        ("[clients]\none = 5", "client one: Input should be"),
        ("clients = 5", "clients: only [clients.ID] tables are read"),
        ("[clients.one", "clients.toml: "),
        ("[clients.'two words']\nclient_name = 'x'", "client two words: a client_id is 1 to"),
        ("", None),
    ],
)
def test_a_file_that_is_no_list_of_clients(desk: Desk, text: str, fault: str | None) -> None:
    """A misspelt table is a fault; nothing at all is a file without clients."""
    said = desk.type("client", "apply", "-f", desk.clients(text))
    assert (said.code == 1) == (fault is not None)
    assert fault is None or fault in said.err


def test_a_scope_is_known_at_every_door(desk: Desk) -> None:
    """A login would ignore a scope that oidc.scopes lacks, and nobody would know why."""
    desk.type("client", "create", "--name", "x", "--client-id", "c")
    for words in (
        ("create", "--name", "x", "--scope", "reports"),
        ("update", "c", "--set", 'scopes=["reports"]'),
    ):
        said = desk.type("client", *words)
        assert said.code == 1
        assert "not in the setting oidc.scopes: reports" in said.err


@pytest.mark.parametrize(
    ("assignment", "fault"),
    [
        ('audience=["http://127.0.0.1:8000"]', "audience: http://127.0.0.1:8000 is this bridge"),
        ('audience=["urn:x","HTTP://127.0.0.1:8000/"]', "name the client's own resources"),
        ('redirect_uris=["https://["]', "'https://[' is no address: Invalid IPv6 URL"),
        ("client_uri=https://[", "'https://[' is no address: Invalid IPv6 URL"),
        ('redirect_uris=["https://a.test:99999/"]', "is no address: Port out of range"),
        ("kiosk=null", "kiosk: Input should be a valid boolean"),
        ("redirect_uris=null", "redirect_uris: Input should be a valid tuple"),
        ('redirect_uris=["https://a.test/?State=1"]', "holds state, which the answer adds"),
    ],
)
def test_what_no_door_lets_in(desk: Desk, assignment: str, fault: str) -> None:
    """At each door a line that names the member, and nothing is stored."""
    desk.type("client", "create", "--name", "x", "--client-id", "c")
    before = desk.json("client", "show", "c")
    said = desk.type("client", "update", "c", "--set", assignment)
    assert (said.code, fault in said.err) == (1, True), said
    member, _, value = assignment.partition("=")
    if value != "null":
        value = value if value.startswith("[") else json.dumps(value)
        file = desk.clients(f'[clients.c]\nclient_name = "x"\n{member} = {value}\n')
        said = desk.type("client", "apply", "-f", file, "--dry-run")
        assert (said.code, fault in said.err) == (1, True), said
    assert desk.json("client", "show", "c") == before


def test_a_plan_and_what_was_done(desk: Desk) -> None:
    """A dry run says what differs and changes nothing; then it is done, and said again."""
    head = '[clients.c]\nclient_name = "c"\nredirect_uris = ["https://a.test/cb"]\n'
    created = desk.type("client", "apply", "-f", desk.clients(head)).lines
    assert created[0].startswith("c: created, client_secret twf_")
    file = desk.clients(head + 'scopes = ["openid", "email"]\ntrusted = true\n')
    differences = ["    scopes: -profile +email", "    trusted: false → true"]
    planned = desk.type("client", "apply", "-f", file, "--dry-run").lines
    assert planned == ["c: changed (dry run)", *differences]
    assert desk.json("client", "show", "c").get("trusted") is None
    done = desk.type("client", "apply", "-f", file, "--reason", "ticket 7").lines
    assert done == ["c: changed", *differences]
    assert desk.type("client", "apply", "-f", file).lines == ["c: unchanged"]
    events = [e["event"] for e in desk.audit("--client", "c")]
    assert events == ["client.created", "client.changed"]
    desk.type("client", "disable", "c")
    assert desk.type("client", "apply", "-f", file).lines == [
        "c: changed",
        "    disabled → enabled",
    ]
    empty = desk.clients("")
    assert desk.type("client", "apply", "-f", empty, "--prune").lines == ["c: disabled"]


def test_a_secret_is_shown_before_a_later_fault(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was created is told at once: a fault further on must not swallow its secret."""
    create = Registrar.create

    async def fails_later(self: Registrar, registration: Any, client_id: str) -> Any:
        if client_id == "two":
            raise Unavailable(detail="the database went away")
        return await create(self, registration, client_id)

    monkeypatch.setattr(Registrar, "create", fails_later)
    file = desk.clients('[clients.one]\nclient_name = "1"\n[clients.two]\nclient_name = "2"\n')
    said = desk.type("client", "apply", "-f", file)
    assert (said.code, len(said.lines)) == (1, 1)
    assert said.lines[0].startswith("one: created, client_secret twf_")
    assert "the database went away" in said.err


# ── members ─────────────────────────────────────────────────────────────────────────────────────


def test_an_import_says_what_was_written(desk: Desk) -> None:
    """Written, or would be written: never both."""
    sheet = desk.folder / "members.csv"
    sheet.write_text(f"{MEMBERS}1,甲,男,a,b\n2,乙,x,a,b\n3,丙,女,a,b\n", encoding="utf-8")
    said = desk.type("member", "import", str(sheet))
    assert said.code == 1
    would = "3 lines, 1 rejected: nothing was written; the others would be 2 added, 0 updated\n"
    assert said.out == would
    assert said.err.splitlines() == [
        "line 3: gender: must be 男 or 女 (or M, F)",
        "mend the lines above, or leave them out with --skip-rejected",
    ]
    assert desk.type("member", "import", str(sheet), "--dry-run", "--skip-rejected").out == would
    assert desk.json("member", "list") == []
    said = desk.type("member", "import", str(sheet), "--skip-rejected")
    assert (said.code, said.out) == (0, "3 lines, 1 rejected: 2 added, 0 updated\n")
    said = desk.type("member", "import", str(sheet), "--skip-rejected")
    assert said.out == "3 lines, 1 rejected: 0 added, 2 updated\n"


@pytest.mark.parametrize("given", ["secret", "secret\n", "secret\r\n", "secret\nmore\n"])
def test_a_hash_is_all_that_is_printed(fresh: Desk, given: str) -> None:
    """`hash-password < file` prints the hash of the first line and nothing else."""
    from argon2 import PasswordHasher

    said = fresh.type("member", "hash-password", given=given)
    (line,) = said.lines
    assert PasswordHasher().verify(line, "secret")


def test_an_empty_password_has_no_hash(fresh: Desk) -> None:
    """An empty file is a mistake, not a password."""
    said = fresh.type("member", "hash-password", given="")
    assert (said.code, said.out) == (1, "")


# ── keys ────────────────────────────────────────────────────────────────────────────────────────


def test_keys_are_listed_by_state_with_a_plan(desk: Desk) -> None:
    """What signs comes first; each line says what happens to the key, and when."""
    states = [line.split()[:2] for line in desk.type("keys", "list").lines]
    algs = ["ES256", "EdDSA", "PS256", "RS256"]
    assert states == [[state, alg] for state in ("active", "next") for alg in algs]
    said = desk.type("keys", "rotate").out
    assert "the old ones are published until 20" in said
    again = desk.type("keys", "rotate")
    at = said.partition("from ")[2].partition(" on")[0]
    assert (again.code, again.err) == (
        1,
        f"a rotation is under way: the next keys sign from {at.replace(' ', 'T')} on",
    )
    lines = desk.type("keys", "list").lines
    assert [line.split()[0] for line in lines] == ["active"] * 4 + ["next"] * 8
    assert lines[0].endswith(f", until {at}")
    assert [f"signs from {at} on" in line for line in lines[4:]].count(True) == 4


# ── doctor ──────────────────────────────────────────────────────────────────────────────────────


def checks(desk: Desk) -> dict[str, dict[str, str]]:
    said = desk.type("doctor", "--json")
    return {check["check"]: check for check in json.loads(said.out)}


def test_the_doctor_before_and_after_the_upgrade(fresh: Desk) -> None:
    """The order of the handbook works: an empty database has a remedy, and after it there are no
    keys yet, which is as it should be."""
    found = checks(fresh)
    assert found["database schema"]["result"] == "fail"
    assert found["database schema"]["remedy"] == "run `idp db upgrade`"
    assert fresh.type("db", "upgrade").code == 0
    found = checks(fresh)
    assert found["signing keys"]["seen"] == "none yet: made at the first start"
    assert {c["check"] for c in found.values() if c["result"] == "fail"} == {"twfido upstream"}
    fresh.type("keys", "list")
    found = checks(fresh)
    assert found["signing keys RS256"]["seen"] == "1 active, 1 next"


def test_the_doctor_looks_at_everything(desk: Desk) -> None:
    """With the database away all other checks are made, and each says what to do."""
    away = f'url = "postgresql://idp:secret@127.0.0.1:{free_port()}/idp"'
    redis = f'redis_url = "redis://127.0.0.1:{free_port()}/0"'
    desk.write(database=away, web=redis)
    found = checks(desk)
    failed = {name for name, check in found.items() if check["result"] == "fail"}
    assert failed == {"database schema", "database", "rate counters", "twfido upstream"}
    assert found["twfido checksum"]["result"] == "ok"
    assert all(found[name]["remedy"] for name in failed)
    said = desk.type("doctor")
    assert said.code == 1
    assert "secret" not in said.out
    assert "      start Redis, or correct web.redis_url" in said.lines


def test_the_doctor_tries_to_write(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that answers and takes nothing lets nobody in."""
    desk.type("keys", "list")

    async def full(*_: Any, **__: Any) -> None:
        raise Unavailable(detail="database or disk is full")

    monkeypatch.setattr(Sqlite, "run", full)
    monkeypatch.setattr(Sqlite, "write", full)
    found = checks(desk)
    assert found["database"]["result"] == "fail"
    assert "writes nothing: database or disk is full" in found["database"]["seen"]


def test_the_doctor_knows_another_master_key(desk: Desk) -> None:
    """The key of another database is told, and the rest is looked at."""
    desk.type("keys", "list")
    desk.write(keys=f'master_key = "{"ab" * 32}"')
    found = checks(desk)
    assert found["master key"]["result"] == "fail"
    assert "twfido upstream" in found


# ── audit ───────────────────────────────────────────────────────────────────────────────────────


def test_paging_reaches_every_entry(desk: Desk) -> None:
    """Forwards from the beginning and backwards from the end: each entry once, nothing left out;
    the last line says how to go on."""
    for _ in range(7):
        desk.type("person", "disable", NUMBER)
    everything = [e["id"] for e in desk.audit()]
    assert len(everything) == 7
    for option, first in (("--after", ["--after", "0"]), ("--before", [])):
        pages, words = [], first
        while True:
            said = desk.type("audit", "list", "--limit", "3", *words)
            pages.append([json.loads(line)["id"] for line in said.lines])
            if not said.err:
                break
            words = said.err.removeprefix("there are more: ").split()
            assert words[0] == option
        ordered = pages if option == "--after" else pages[::-1]
        assert [id_ for page in ordered for id_ in page] == everything


def test_entries_are_found(desk: Desk) -> None:
    """By person, client, event and time; a time without a zone is Taiwan's."""
    desk.type("client", "create", "--name", "x", "--client-id", "c")
    desk.type("person", "disable", NUMBER)
    (of_client,) = desk.audit("--client", "c")
    (of_person,) = desk.audit("--person", NUMBER)
    assert desk.audit("--person", of_person["person_id"]) == [of_person]
    assert of_client["at"].endswith("Z")
    assert desk.audit("--event", "client.created") == [of_client]
    assert desk.audit("--since", "2000-01-01", "--until", "2000-01-02T00:00:00Z") == []
    assert desk.audit("--since", of_client["at"], "--client", "c") == [of_client]
    assert desk.audit("--until", of_client["at"], "--client", "c") == []
    assert desk.audit("--client", "nobody") == []
    unknown = desk.type("audit", "list", "--person", "B222222228")
    assert (unknown.code, unknown.err) == (1, "B2****2228 has never logged in here")
    wrong = desk.type("audit", "list", "--since", "yesterday")
    assert wrong.code == 1
    assert "--since: an ISO time" in wrong.err
