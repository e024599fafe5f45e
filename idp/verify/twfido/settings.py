"""What an operator decides about TW FidO. The slides give no paths: every path is configuration."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import httpx
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    SecretStr,
    model_validator,
)

from idp.kernel.settings import Section
from idp.verify.twfido.checksum import fault_in_key, is_sample

RETURN_PATH = "/twfido/return"  # where browsers come back; the ministry registers it
_SYSCODE = r"^[0-9]{20}\z"
NO_APPS = ("http", "javascript", "data", "vbscript", "file", "blob", "about", "mailto")
QR_NAMES = ("qrid", "op", "sysaction", "sysname")  # never a pid in a QR code

MethodId = Literal["qr", "push", "web", "dongle"]
ServerOpening = Literal["FEXCH-01", "FATH-01"]
CallbackField = Literal["rcode", "tranSeq", "qrid", "syscode", "pid"]
Reg01Field = Literal["pid", "qrid", "syscode", "tranSeq"]


@dataclass(frozen=True, slots=True)
class System:
    """One account at TW FidO: what the ministry registered. `keys` are 1 or 2 API keys (32 hex
    digits), the newest first; `name` is what phones show for it."""

    syscode: str
    keys: tuple[str, ...] = field(repr=False)
    name: str = ""

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> System:
        """As the operator's command stored it for a relying party."""
        return cls(document["syscode"], tuple(document["keys"]), document["name"])


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("an http or https URL is needed")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("no user name, query or fragment, please")
    return url.rstrip("/")


def _usable_key(key: SecretStr) -> SecretStr:
    if fault := fault_in_key(key.get_secret_value()):
        raise ValueError(fault)
    return key


def _words(value: Any) -> Any:
    """A secret file holds one text: keys in it stand apart by blanks, commas or lines."""
    return tuple(re.split(r"[\s,]+", value.strip())) if isinstance(value, str) else value


def _network(value: str) -> str:
    return str(ipaddress.ip_network(value))


def _qr_template(template: str) -> str:
    for _, name, spec, conversion in Formatter().parse(template):
        # attributes and formats would reach into Python: plain names only
        if name is not None and (name not in QR_NAMES or spec or conversion):
            raise ValueError(f"only {{{'}, {'.join(QR_NAMES)}}} may stand in the template")
    return template


def _app_link(template: str) -> str:
    """A link of an app's own scheme, or of a site that the app has claimed."""
    link = re.fullmatch(r"([a-z][a-z0-9+.-]*):[!#-;=?-z~]*\{content\}[!#-;=?-z~]*", template)
    if template and (link is None or link[1] in NO_APPS):
        raise ValueError("a link of an app with {content} once, after the scheme")
    return template


HttpUrl = Annotated[str, AfterValidator(_http_url)]
Path = Annotated[str, Field(pattern=r"^/[!-~]*\z")]
ApiKey = Annotated[SecretStr, AfterValidator(_usable_key)]
Network = Annotated[str, AfterValidator(_network)]


class TwFidoPaths(Section):
    fweb_01: Path = Field("/rp-api-fweb-01", description="web redirect, opened by the browser")
    ctap_01: Path = Field("/rp-api-ctap-01", description="USB dongle, opened by the browser")
    fexch_01: Path = Field("/rp-api-fexch-01", description="open a transaction (QR)")
    fath_01: Path = Field("/rp-api-fath-01", description="open a transaction (push)")
    fath_02: Path = Field("/rp-api-fath-02", description="ask for the result")
    reg_01: Path = Field("/rp-api-reg-01", description="is this person enrolled")
    que_01: Path = Field("/rp-api-que-01", description="statistics")
    que_02: Path = Field("/rp-api-que-02", description="one person's records")

    def of(self, interface: str) -> str:
        """The path of an interface by the papers' name, e.g. FATH-02."""
        path: str = getattr(self, interface.lower().replace("-", "_"))
        return path


class TwFidoOpenings(Section):
    """Which interface serves QR and which push is a reading of a lost picture. Web and dongle are
    fixed: an app redirect that counts as a dongle would raise its level."""

    qr: ServerOpening = Field("FEXCH-01", description="interface that opens a QR transaction")
    push: ServerOpening = Field("FATH-01", description="interface that opens a push transaction")
    web: Literal["FWEB-01"] = Field("FWEB-01", description="interface of the web redirect; fixed")
    dongle: Literal["CTAP-01"] = Field("CTAP-01", description="interface of the dongle; fixed")


class TwFidoSettings(Section):
    base_url: HttpUrl = Field(
        ...,
        description="where our server calls: https://fido.moi.gov.tw, https://fido-test.moi.gov.tw"
        " or the simulator",
    )
    browser_base_url: HttpUrl | None = Field(
        None, description="where browsers are sent for web and dongle; without it base_url"
    )
    paths: TwFidoPaths = TwFidoPaths()
    opens_with: TwFidoOpenings = TwFidoOpenings()
    methods: tuple[MethodId, ...] = Field(
        ("qr", "push", "web", "dongle"),
        description="methods that are on; leave web and dongle out if FATH-02 does not answer"
        " for them",
    )
    browser_form_method: Literal["post", "get"] = Field(
        "post", description="how the browser carries the request of web and dongle"
    )
    syscode: str = Field(..., pattern=_SYSCODE, description="our own system code, 20 digits")
    api_keys: Annotated[tuple[ApiKey, ...], BeforeValidator(_words)] = Field(
        ...,
        min_length=1,
        max_length=2,
        description="API keys of our syscode, 32 hex digits each; newest first, two in a change",
    )
    system_name: str = Field(
        "", max_length=100, description="name registered for our syscode, as phones show it"
    )
    expires_in: int = Field(180, ge=10, le=3600, description="seconds that a transaction lives")
    maintenance_until: AwareDatetime | None = Field(
        None,
        description="while TW FidO is being maintained: when it is expected back, with its zone"
        " (2026-11-22T06:00+08:00); until then nothing begins, and the page says so",
    )
    strict_echo: bool = Field(
        True, description="an answer must repeat the tranSeq of its request; the slides' do not"
    )
    qr_template: Annotated[str, AfterValidator(_qr_template)] = Field(
        "",
        description="content of the QR code with {qrid}, {op}, {sysaction}, {sysname} (braces of"
        " JSON doubled); empty: compact JSON of these four",
    )
    app_link: Annotated[str, AfterValidator(_app_link)] = Field(
        "",
        description="link that opens the app on the same phone, with {content} where the QR"
        " code's content goes (percent-encoded); empty: no such link is offered",
    )
    connect_timeout: float = Field(2.0, gt=0, description="seconds to connect")
    read_timeout: float = Field(5.0, gt=0, description="seconds of silence while reading")
    total_timeout: float = Field(8.0, gt=0, description="seconds for a call, a retry included")
    max_in_flight: int = Field(50, ge=1, description="calls at once per process; more fail at once")
    breaker_failures: int = Field(10, ge=1, description="failures that open the circuit breaker")
    breaker_window: float = Field(10.0, gt=0, description="seconds in which they are counted")
    breaker_pause: float = Field(3.0, gt=0, description="seconds between probes while it is open")
    callback_path: Path = Field("/twfido/callback", description="path of the result callback")
    callback_peers: tuple[Network, ...] = Field(
        ("117.56.7.69/32",), description="networks that may call back; the slides name one address"
    )
    callback_checksum_fields: tuple[CallbackField, ...] = Field(
        ("rcode", "tranSeq"),
        min_length=1,
        description="fields under the callback's checksum, in order; the slides do not print it",
    )
    reg01_checksum_fields: tuple[Reg01Field, ...] = Field(
        ("pid", "syscode", "tranSeq"),
        min_length=1,
        description="fields under the checksum of REG-01's request; the slides print qrid, which"
        " it has not (qrid counts as empty)",
    )
    que_max_months: int = Field(
        3, ge=1, le=12, description="longest range of statistics and records, in months"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.methods)) != len(self.methods):
            raise ValueError("methods: a method is named twice")
        return self

    @property
    def own_system(self) -> System:
        keys = tuple(key.get_secret_value() for key in self.api_keys)
        return System(self.syscode, keys, self.system_name)

    def transport(self) -> httpx.AsyncBaseTransport:
        """Connections to the ministry's host; no proxy from the environment."""
        limits = httpx.Limits(max_connections=self.max_in_flight)
        return httpx.AsyncHTTPTransport(limits=limits, trust_env=False)

    @property
    def browser_url(self) -> str:
        return self.browser_base_url or self.base_url

    def production_faults(self) -> list[str]:
        """What must not start in production; empty if all is well."""
        faults = []
        if any(is_sample(key.get_secret_value()) for key in self.api_keys):
            faults.append("api_keys: the key printed in the slides is public")
        for name, url in (("base_url", self.base_url), ("browser_base_url", self.browser_url)):
            if not url.startswith("https://"):
                faults.append(f"{name}: https is needed")
        return faults
