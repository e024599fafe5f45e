"""Settings: TOML files, then environment, read into typed models.

Every room declares its own section; idp/settings.py puts them together. An unknown key refuses to
start, and all faults are reported at once.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import ssl
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

PREFIX = "IDP_"
# ours as well, but no settings: the files of `idp serve`, the secret of `idp token`
BESIDE = frozenset({"IDP_CONFIG_FILES", "IDP_CLIENT_SECRET"})


class Section(BaseModel):
    """A frozen group of settings; unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _words(value: Any) -> Any:
    """A secret file holds one text: keys in it stand apart by blanks, commas or lines."""
    return tuple(re.split(r"[\s,]+", value.strip())) if isinstance(value, str) else value


def _network(value: str) -> str:
    return str(ipaddress.ip_network(value))


Network = Annotated[str, AfterValidator(_network)]  # in CIDR notation


def _certificates(file: Path) -> Path:
    try:
        ssl.create_default_context(cafile=file)
    except OSError as fault:  # ssl.SSLError is one
        raise ValueError(f"{file} holds no certificates (PEM): {fault.strerror or fault}") from None
    return file


def _an_address(text: str) -> str:
    parts = urlsplit(text)
    if parts.port == 0 or "@" in parts.netloc:  # reading the port raises ValueError as well
        raise ValueError("must be scheme://host[:port]")
    return text


EMAIL = r"^([A-Za-z0-9._+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)?\z"
Certificates = Annotated[Path, AfterValidator(_certificates)]  # a file of authorities


class DatabaseSettings(Section):
    url: str = Field(
        "sqlite:///idp.sqlite3",
        description="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME",
    )
    pool_size: int = Field(8, ge=1, le=200, description="PostgreSQL connections per worker")


class KeySettings(Section):
    master_key: SecretStr | None = Field(
        None, description="64 hex digits; encrypts what is stored. Needed in production, as a file"
    )
    other_master_keys: Annotated[tuple[SecretStr, ...], BeforeValidator(_words)] = Field(
        (),
        description="master keys that only open: the next one before a change, the former one"
        " until `idp keys reseal` has ended",
    )
    directory: Path = Field(
        Path("keys"), description="where development keeps a master key that it makes itself"
    )


class WebSettings(Section):
    trusted_proxies: tuple[str, ...] = Field(
        (), description="networks whose X-Forwarded-For and X-Forwarded-Proto are believed"
    )
    extra_hosts: tuple[str, ...] = Field(
        (), description="Host values accepted beside that of the issuer, e.g. for health checks"
    )
    redis_url: SecretStr | None = Field(
        None, description="shared request-rate counters; without it each process counts alone"
    )
    max_body_bytes: int = Field(65_536, ge=1024, description="larger request bodies answer 413")


class MtlsSettings(Section):
    """Certificates of client programs (RFC 8705)."""

    url: Annotated[str, AfterValidator(_an_address)] = Field(
        "",
        description="scheme://host[:port] under which the proxy asks callers for a certificate and"
        " hands it over as `X-Client-Cert`; without it no certificate is believed",
    )
    ca_file: Certificates | None = Field(
        None,
        description="file (PEM) of the authorities whose certificates authenticate clients"
        " (`tls_client_auth`)",
    )


class MetricsSettings(Section):
    port: int | None = Field(
        None, description="own port for /metrics; without it /metrics answers on the main port"
    )
    host: str = Field("127.0.0.1", description="address that the metrics port listens on")


class OutwardSettings(Section):
    """Calls to addresses that clients chose, e.g. their jwks_uri. Public addresses are called."""

    allowed_networks: tuple[Network, ...] = Field(
        (), description="networks that are called although they are private, e.g. an intranet"
    )
    refused_networks: tuple[Network, ...] = Field(
        (), description="networks that are not called although they are public, e.g. our own"
    )
    allow_http: bool = Field(False, description="call http too; development only")
    ca_file: Certificates | None = Field(
        None,
        description="file (PEM) of the certificate authorities that clients' certificates are"
        " checked with; without it those of the operating system",
    )


class MailSettings(Section):
    """How mail leaves. Without a host it waits in the outbox until there is one."""

    host: str = Field("", description="SMTP server")
    port: int = Field(587, ge=1, le=65_535, description="its port")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="`tls` from the first byte, as on port 465; `none` only inside the house",
    )
    username: str = Field("", description="name at the SMTP server; without it nobody logs in")
    password: SecretStr | None = Field(None, description="its password, as a file")
    sender: str = Field("", pattern=EMAIL, description="address that mails come from")
    ca_file: Certificates | None = Field(
        None,
        description="file (PEM) of the authorities that its certificate is checked with; without"
        " it those of the operating system",
    )
    directory: Path | None = Field(
        None, description="mails are written there as files and not sent; development only"
    )

    def faults(self, environment: str) -> list[str]:
        """What cannot work, or must not be outside development."""
        found = []
        if self.host and not self.sender:
            found.append("sender: needed to send")
        if self.username and self.security == "none":
            found.append("security: a password is not sent in clear")
        if self.directory and environment != "development":
            found.append("directory: development only")
        return found


# ── what an agency puts its own name on ─────────────────────────────────────────────────────────


def _a_stylesheet(file: Path | None) -> Path | None:
    return _a_file(file, ".css")


def _a_logo(file: Path | None) -> Path | None:
    return _a_file(file, ".svg", ".png")


def _a_file(file: Path | None, *suffixes: str) -> Path | None:
    """Looked for at the start: a page without its logo is noticed by people, not by tests."""
    if file and (file.suffix not in suffixes or not file.is_file()):
        raise ValueError(f"{file} is not a file ending in {' or '.join(suffixes)}")
    return file


class BrandSettings(Section):
    """What an agency puts its own name on."""

    name: str = Field("行動身分識別登入", description="name of this service, shown on every page")
    name_en: str = Field("Mobile identity login", description="the same in English")
    app_name: str = Field(
        "", description="what citizens call the app on their phone; empty: as the scheme calls it"
    )
    app_name_en: str = Field("", description="the same in English")
    register_url: str = Field(
        "", description="where a person registers for the app; empty: where the scheme says"
    )
    help_phone: str = Field(
        "",
        pattern=r"^$|[0-9]",
        description="help line, shown at the foot of every page; a link that calls it",
    )
    faq_url: str | None = Field(None, description="frequently asked questions")
    privacy_url: str | None = Field(None, description="privacy policy")
    accessibility_url: str | None = Field(None, description="accessibility statement")
    test_banner: bool = Field(False, description="warn on every page that this is a test")
    help_email: str = Field(
        "", pattern=EMAIL, description="help desk: at the foot of every page, and for reports"
    )
    stylesheet: Annotated[Path | None, AfterValidator(_a_stylesheet)] = Field(
        None, description="file (.css) read after ours: an agency's colours"
    )
    logo: Annotated[Path | None, AfterValidator(_a_logo)] = Field(
        None, description="file (.svg or .png) shown in place of the name, which it is read as"
    )

    @property
    def files(self) -> dict[str, Path]:
        """What is served under /brand/, by name."""
        known = {"style": self.stylesheet, "logo": self.logo}
        return {f"{name}{file.suffix}": file for name, file in known.items() if file}


# ── the kernel's settings ───────────────────────────────────────────────────────────────────────


class KernelSettings(Section):
    """What the kernel needs. idp.settings adds the rooms."""

    environment: Literal["development", "sandbox", "production"] = Field(
        "production",
        description="production refuses sample keys, http and the simulator; sandbox is a bridge"
        " for integrators, with the simulator behind it, and says so everywhere",
    )
    issuer: Annotated[str, AfterValidator(_an_address)] = Field(
        ..., description="the issuer, exactly as relying parties write it; no trailing slash"
    )
    database: DatabaseSettings = DatabaseSettings()
    keys: KeySettings = KeySettings()
    web: WebSettings = WebSettings()
    mtls: MtlsSettings = MtlsSettings()
    metrics: MetricsSettings = MetricsSettings()
    outward: OutwardSettings = OutwardSettings()
    mail: MailSettings = MailSettings()
    brand: BrandSettings = BrandSettings()

    @property
    def sandbox(self) -> bool:
        """Whether anybody can log in as anybody: every page and every token says so."""
        return self.environment == "sandbox"

    @property
    def shown_brand(self) -> BrandSettings:
        return self.brand.model_copy(update={"test_banner": True}) if self.sandbox else self.brand


class BadSettings(Exception):
    """All faults, one a line."""


S = TypeVar("S", bound=KernelSettings)


def load(model: type[S], files: Sequence[Path] = (), environ: Mapping[str, str] | None = None) -> S:
    """Later files win over earlier ones, the environment wins over files.
    Raises BadSettings with every fault found."""
    merged: dict[str, Any] = {}
    faults: list[str] = []
    for file in files:
        _merge(merged, _toml(file, faults))
    _merge(merged, _from_environment(os.environ if environ is None else environ, faults))
    try:
        settings = model.model_validate(merged)
    except ValidationError as broken:
        faults += _explain(model, broken)
    if faults:
        raise BadSettings("\n".join(faults))
    return settings


def _toml(file: Path, faults: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as broken:
        faults.append(f"{file}: {broken}")
        return {}


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _from_environment(environ: Mapping[str, str], faults: list[str]) -> dict[str, Any]:
    """IDP_DATABASE__URL=… and IDP_DATABASE__URL_FILE=/run/secrets/… (its text, stripped)."""
    found: dict[str, Any] = {}
    for name, raw in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in BESIDE:
            continue
        path, value = name.removeprefix(PREFIX).lower().split("__"), _literal(raw)
        if path[-1].endswith("_file"):
            path[-1] = path[-1].removesuffix("_file")
            value = _secret_file(name, Path(raw), faults)
        if not _put(found, path, value):
            faults.append(f"{name}: a value and a section of one name")
    return found


def _secret_file(name: str, file: Path, faults: list[str]) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as broken:
        faults.append(f"{name}: {broken}")
        return ""


def _literal(raw: str) -> Any:
    """Lists and tables are written as TOML; anything else is the text itself."""
    if raw[:1] in "[{" and raw:
        try:
            return tomllib.loads(f"value = {raw}")["value"]
        except tomllib.TOMLDecodeError:
            return raw
    return raw


def _put(into: dict[str, Any], path: Sequence[str], value: Any) -> bool:
    for part in path[:-1]:
        into = into.setdefault(part, {})
        if not isinstance(into, dict):
            return False
    into[path[-1]] = value
    return True


def _explain(model: type[BaseModel], broken: ValidationError) -> Iterable[str]:
    for fault in broken.errors():
        where = ".".join(str(part) for part in fault["loc"])
        message = str(fault["msg"])
        if fault["type"] == "extra_forbidden":
            message = "unknown setting" + _did_you_mean(model, fault["loc"])
        yield f"{where or 'settings'}: {message}"


def _did_you_mean(model: type[BaseModel], path: tuple[int | str, ...]) -> str:
    known: Iterable[str] = model.model_fields
    for part in path[:-1]:
        inner = _section_at(model, part)
        if inner is None:
            return ""
        model, known = inner, inner.model_fields
    close = difflib.get_close_matches(str(path[-1]), list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _section_at(model: type[BaseModel], part: int | str) -> type[BaseModel] | None:
    field = model.model_fields.get(str(part))
    candidates = [field.annotation, *get_args(field.annotation)] if field else []
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
