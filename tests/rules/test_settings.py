"""Settings: a typing mistake refuses to start, and everything wrong is said at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from idp.house import SCHEMES
from idp.kernel.services import master_keys
from idp.kernel.settings import BadSettings, KernelSettings, Section, load
from idp.settings import Settings, read_settings, unsafe
from idp.verify.twfido.checksum import SAMPLE_KEYS
from tests.certificates import Pair

GOOD = """\
issuer = "https://id.example.gov.tw"
[twfido]
base_url = "https://fido.moi.gov.tw"
syscode = "20200820100951269230"
api_keys = ["0F1E2D3C4B5A69788796A5B4C3D2E1F0"]
system_name = "圖書館"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "idp.toml"


def read(file: Path, text: str = GOOD, **environ: str) -> Settings:
    file.write_text(text, encoding="utf-8")
    return load(Settings, [file], environ)


def faults(file: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(BadSettings) as refused:
        read(file, text, **environ)
    return str(refused.value).split("\n")


def test_a_complete_file(file: Path) -> None:
    """What is not said has a default."""
    settings = read(file)
    assert settings.issuer == "https://id.example.gov.tw"
    assert settings.environment == "production"
    assert settings.oidc.code_seconds == 60
    assert unsafe(read(file, IDP_KEYS__MASTER_KEY="00" * 32)) == []


MISTAKES = {
    "isuer = 'x'\n": "isuer: unknown setting; did you mean issuer?",
    "[databse]\nurl = 'x'\n": "databse: unknown setting; did you mean database?",
    "[database]\nulr = 'x'\n": "database.ulr: unknown setting; did you mean url?",
    "[oidc]\ncode_second = 60\n": "oidc.code_second: unknown setting; did you mean code_seconds?",
    "[login.pusch]\nx = 1\n": "login.pusch: unknown setting; did you mean push?",
    "[login.push]\nper_dya = 1\n": "login.push.per_dya: unknown setting; did you mean per_day?",
    "[web]\nzzzz = 1\n": "web.zzzz: unknown setting",
}


@pytest.mark.parametrize(("text", "fault"), MISTAKES.items(), ids=[m[1] for m in MISTAKES.items()])
def test_unknown_settings(file: Path, text: str, fault: str) -> None:
    """A key that nobody knows refuses to start, with the name that was probably meant."""
    start = "" if text.startswith("[") else text
    rest = text if text.startswith("[") else ""
    assert faults(file, start + GOOD + rest) == [fault]


def test_all_faults_at_once(file: Path, tmp_path: Path) -> None:
    """Whoever has made five mistakes is told five times, not five times in a row."""
    text = """\
isuer = "https://id.example.gov.tw"
environment = "test"
[oidc]
code_seconds = 5
realm = ["TDXConnect"]
[web]
max_body_bytes = "many"
[twfido]
"""
    found = faults(file, text, IDP_KEYS__MASTER_KEY_FILE=str(tmp_path / "missing"))
    names = {line.split(":")[0] for line in found}
    assert names >= {
        "isuer",
        "issuer",
        "environment",
        "oidc.code_seconds",
        "oidc.realm",
        "web.max_body_bytes",
        "twfido.syscode",
        "IDP_KEYS__MASTER_KEY_FILE",
    }


def test_the_environment_wins(file: Path) -> None:
    """Over files; two underlines lead into a section, lists are written as in TOML."""
    settings = read(
        file,
        IDP_ISSUER="https://other.example.gov.tw",
        IDP_DATABASE__POOL_SIZE="3",
        IDP_OIDC__REALMS='["TDXConnect", "Second"]',
        IDP_BRAND__TEST_BANNER="true",
        PATH="/bin",
        idp_issuer="lower case is not ours",
    )
    assert settings.issuer == "https://other.example.gov.tw"
    assert settings.database.pool_size == 3
    assert settings.oidc.realms == ("TDXConnect", "Second")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("IDP_ISSUR", "issur: unknown setting; did you mean issuer?"),
        ("IDP_DATABASE__URI", "database.uri: unknown setting; did you mean url?"),
        ("IDP_DATABASE_URL", "database_url: unknown setting"),
        ("IDP_", "settings: unknown setting"),
    ],
)
def test_mistakes_in_the_environment(file: Path, name: str, fault: str) -> None:
    """An unknown variable of ours is a mistake too."""
    found = faults(file, GOOD, **{name: "x"})
    assert len(found) == 1
    assert found[0].startswith(fault.split(";")[0])


def test_a_value_and_a_section_of_one_name(file: Path) -> None:
    """Said, not crashed on."""
    found = faults(file, GOOD, IDP_DATABASE="x", IDP_DATABASE__URL="sqlite:///x")
    assert any("IDP_DATABASE__URL" in line for line in found)


def test_secrets_come_from_files(file: Path, tmp_path: Path) -> None:
    """…_FILE gives the file's text without the white space around it."""
    secret = tmp_path / "url"
    secret.write_text("  postgresql://idp:pw@db/idp\n")
    settings = read(file, IDP_DATABASE__URL_FILE=str(secret))
    assert settings.database.url == "postgresql://idp:pw@db/idp"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_secret_files_that_cannot_be_read(
    file: Path, tmp_path: Path, content: bytes | None
) -> None:
    """Missing, or no text: the variable is named, and no content shown."""
    secret = tmp_path / "secret"
    if content:
        secret.write_bytes(content)
    found = faults(file, GOOD, IDP_KEYS__MASTER_KEY_FILE=str(secret))
    assert [line.split(":")[0] for line in found] == ["IDP_KEYS__MASTER_KEY_FILE"]


def test_later_files_win(tmp_path: Path) -> None:
    """Section by section: a second file only says what differs."""
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text(GOOD + "[oidc]\ncode_seconds = 30\nid_token_seconds = 300\n")
    second.write_text("[oidc]\ncode_seconds = 20\n")
    settings = load(Settings, [first, second], {})
    assert (settings.oidc.code_seconds, settings.oidc.id_token_seconds) == (20, 300)


@pytest.mark.parametrize("text", ["issuer = ", "[oidc", "issuer = 'a'\nissuer = 'b'", "\x00"])
def test_broken_files(file: Path, text: str) -> None:
    """The file is named, with the place."""
    assert faults(file, text)[0].startswith(str(file))


def test_a_missing_file(tmp_path: Path) -> None:
    """A file that was named must be there."""
    with pytest.raises(BadSettings, match=r"nowhere\.toml"):
        load(Settings, [tmp_path / "nowhere.toml"], {})


def test_settings_do_not_change(file: Path) -> None:
    """What was read stays; only a restart reads anew."""
    settings = read(file)
    with pytest.raises(ValueError, match="frozen"):
        settings.oidc.code_seconds = 600  # type: ignore[misc]  # it is frozen: that is tested


def test_secrets_are_not_shown(file: Path) -> None:
    """Neither in a fault nor when printed."""
    key = "ab" * 32
    settings = read(file, IDP_KEYS__MASTER_KEY=key)
    assert key not in repr(settings)
    found = faults(file, GOOD, IDP_KEYS__MASTER_KEY='["ab"]', IDP_WEB__REDIS_URL="[1, 2]")
    assert "ab" not in " ".join(found).replace("valid", "")


# ── schemes ─────────────────────────────────────────────────────────────────────────────────────

WITHOUT = 'issuer = "https://id.example.gov.tw"\n[keys]\nmaster_key = "' + "00" * 32 + '"\n'


def test_a_bridge_without_a_scheme(file: Path) -> None:
    """Every scheme's section may be left out, but not all of them: nobody could log in."""
    settings = read(file, WITHOUT)
    assert settings.upstreams == {}
    (fault,) = unsafe(settings)
    assert fault.startswith("twfido")
    assert "nobody can log in without a scheme" in fault


@pytest.mark.parametrize(
    ("named", "fault"),
    [
        ("twfdo", "login.schemes: there is no section [twfdo]; did you mean twfido?"),
        ("passport", "login.schemes: there is no section [passport]"),
    ],
)
def test_schemes_that_are_offered_are_configured(file: Path, named: str, fault: str) -> None:
    """A name of login.schemes without its section refuses to start, with what was probably
    meant."""
    environ = {"IDP_KEYS__MASTER_KEY": "00" * 32}
    assert unsafe(read(file, IDP_LOGIN__SCHEMES='["twfido"]', **environ)) == []
    offered = f'["twfido", "{named}"]'
    assert unsafe(read(file, IDP_LOGIN__SCHEMES=offered, **environ)) == [fault]


def test_every_scheme_is_made_in_the_house() -> None:
    """A section of a scheme has its line in idp/house.py, and none is without a section."""
    assert list(SCHEMES) == Settings.schemes()


# ── what production refuses ─────────────────────────────────────────────────────────────────────

ISSUERS = {
    "http://id.example.gov.tw": "https",
    "http://127.0.0.1:8000": "production needs https",
    "https://id.example.gov.tw/": "trailing slash",
    "https://id.example.gov.tw/realm": "path",
    "https://id.example.gov.tw?x": "scheme://host",
    "https://id.example.gov.tw#x": "scheme://host",
    "https://": "scheme://host",
    "id.example.gov.tw": "scheme://host",
    "ftp://id.example.gov.tw": "https",
    "": "scheme://host",
}
UNREADABLE = [
    "https://user@id.example.gov.tw",
    "https://id.example.gov.tw:99999",
    "https://id.example.gov.tw:0",
    "https://id.example.gov.tw:x",
    "https://[::1",
]


@pytest.mark.parametrize(("issuer", "fault"), ISSUERS.items(), ids=ISSUERS)
def test_issuers_that_could_not_work(file: Path, issuer: str, fault: str) -> None:
    """OpenID Connect Discovery §3: https, exact, and nothing behind the host."""
    found = unsafe(read(file, re.sub(r'issuer = ".*"', f'issuer = "{issuer}"', GOOD)))
    assert any("issuer" in line and fault in line for line in found), found


@pytest.mark.parametrize("issuer", UNREADABLE)
def test_issuers_that_are_no_address(file: Path, issuer: str) -> None:
    """A fault like any other, never a crash."""
    found = faults(file, re.sub(r'issuer = ".*"', f'issuer = "{issuer}"', GOOD))
    assert [line.split(":")[0] for line in found] == ["issuer"]


MUTUAL = {
    'ca_file = "CA"': "mtls.ca_file: needs mtls.url",
    'url = "http://mtls.test"': "mtls.url: must be https://",
    'url = "https://mtls.test/x"': "mtls.url: must be https://",
    'url = "https://id.example.gov.tw"': "mtls.url: must have another host",
    'url = "https://mtls.test"': "mtls.url: needs web.trusted_proxies",
}


@pytest.mark.parametrize(("text", "fault"), MUTUAL.items(), ids=MUTUAL)
def test_certificates_of_clients(file: Path, text: str, fault: str) -> None:
    """RFC 8705: they come by a name of their own, from a proxy that is believed."""
    ca = file.with_name("ca.pem")
    ca.write_bytes(Pair.issued("CA", ca=True).pem)
    found = unsafe(read(file, f"{GOOD}[mtls]\n{text.replace('CA', str(ca))}\n"))
    assert any(line.startswith(fault) for line in found), found


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000"])
def test_development_on_loopback(file: Path, host: str) -> None:
    """http is for one's own machine."""
    text = GOOD.replace("https://id.example.gov.tw", f"http://{host}")
    assert unsafe(read(file, 'environment = "development"\n' + text)) == []
    elsewhere = text.replace(host, "id.example.gov.tw")
    assert unsafe(read(file, 'environment = "development"\n' + elsewhere))


def test_production_refuses_what_is_for_trying_out(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The printed sample key, an upstream without https, calls to clients without https, a master
    key made on this machine; all of it in one answer."""
    text = GOOD.replace("0F1E2D3C4B5A69788796A5B4C3D2E1F0", next(iter(SAMPLE_KEYS)))
    text = text.replace("https://fido.moi.gov.tw", "http://127.0.0.1:8100")
    text = text.replace("https://id.example.gov.tw", "http://127.0.0.1:8000")
    text += "\n[outward]\nallow_http = true\n"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setattr("os.environ", {})
    with pytest.raises(BadSettings) as refused:
        read_settings([file])
    said = str(refused.value)
    parts = ("issuer: production needs https", "keys.master_key", "api_keys", "base_url")
    for part in (*parts, "outward.allow_http"):
        assert part in said
    file.write_text('environment = "development"\n' + text, encoding="utf-8")
    assert read_settings([file]).environment == "development"


@pytest.mark.parametrize("key", ["", "00", "zz" * 32, "00" * 33])
def test_master_keys_that_are_none(file: Path, key: str) -> None:
    """Told as a fault of the settings, without the key."""
    settings = read(file, IDP_KEYS__MASTER_KEY=key)
    with pytest.raises(BadSettings, match="64 hex digits"):
        master_keys(settings)


def test_a_master_key_that_others_can_read(file: Path, tmp_path: Path) -> None:
    """The embedded default refuses to start, and says what helps."""
    settings = read(file, IDP_KEYS__DIRECTORY=str(tmp_path / "keys"))
    assert len(master_keys(settings)[0]) == 32
    (tmp_path / "keys" / "master.key").chmod(0o644)
    with pytest.raises(BadSettings, match="chmod 600"):
        master_keys(settings)


# ── the manual ──────────────────────────────────────────────────────────────────────────────────


def _sections(model: Any) -> list[Any]:
    kinds = [field.annotation for field in model.model_fields.values()]
    inner = [k for k in kinds if isinstance(k, type) and issubclass(k, Section)]
    return [model, *(deep for kind in inner for deep in _sections(kind))]


def test_every_section_refuses_unknown_keys() -> None:
    """No section may forget it."""
    for section in _sections(Settings):
        if section is not Settings and not issubclass(section, KernelSettings):
            assert section.model_config.get("extra") == "forbid", section
            assert section.model_config.get("frozen"), section


def test_a_sandbox_is_public(file: Path) -> None:
    """Its simulator may be on plain http beside it; the bridge itself, and its calls, are not."""
    text = 'environment = "sandbox"\n' + GOOD
    text = text.replace("https://fido.moi.gov.tw", "http://127.0.0.1:8100")
    text = text.replace("0F1E2D3C4B5A69788796A5B4C3D2E1F0", next(iter(SAMPLE_KEYS)))
    settings = read(file, text)
    assert unsafe(settings) == []
    assert settings.shown_brand.test_banner
    local = text.replace("https://id.example.gov.tw", "http://127.0.0.1:8000")
    faults = unsafe(read(file, f"{local}\n[outward]\nallow_http = true\n"))
    assert "issuer: sandbox needs https" in faults
    assert "outward.allow_http: sandbox calls https only" in faults
