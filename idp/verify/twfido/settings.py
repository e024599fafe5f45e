"""What an operator decides about TW FidO. The slides give no paths: every path is configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    model_validator,
)

from idp.kernel.settings import Network, Section
from idp.verify.settings import NO_APPS, HttpUrl, Path, UpstreamSettings, words
from idp.verify.twfido.checksum import fault_in_key, is_sample

SCHEME = "twfido"
RETURN_PATH = "/twfido/return"  # where browsers come back; the ministry registers it
_SYSCODE = r"^[0-9]{20}\z"
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

    @classmethod
    def checked(cls, syscode: str, keys: Sequence[str], name: str) -> System:
        """As an operator gives them. Raises ValueError."""
        if not re.fullmatch("[0-9]{20}", syscode, re.ASCII):
            raise ValueError("a syscode is 20 digits")
        if len(keys) not in (1, 2):
            raise ValueError("1 or 2 API keys are needed")
        if fault := next((fault for key in keys if (fault := fault_in_key(key))), None):
            raise ValueError(f"API key: {fault}")
        return cls(syscode, tuple(keys), name)

    def document(self) -> dict[str, Any]:
        return {"syscode": self.syscode, "keys": list(self.keys), "name": self.name}


def _usable_key(key: SecretStr) -> SecretStr:
    if fault := fault_in_key(key.get_secret_value()):
        raise ValueError(fault)
    return key


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


ApiKey = Annotated[SecretStr, AfterValidator(_usable_key)]


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


class TwFidoSettings(UpstreamSettings):
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
    api_keys: Annotated[tuple[ApiKey, ...], BeforeValidator(words)] = Field(
        ...,
        min_length=1,
        max_length=2,
        description="API keys of our syscode, 32 hex digits each; newest first, two in a change",
    )
    system_name: str = Field(
        "", max_length=100, description="name registered for our syscode, as phones show it"
    )
    expires_in: int = Field(180, ge=10, le=3600, description="seconds that a transaction lives")
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

    @property
    def server_url(self) -> str:
        return self.base_url

    @property
    def browser_url(self) -> str:
        return self.browser_base_url or self.base_url

    def production_faults(self) -> list[str]:
        faults = []
        if any(is_sample(key.get_secret_value()) for key in self.api_keys):
            faults.append("api_keys: the key printed in the slides is public")
        for name, url in (("base_url", self.base_url), ("browser_base_url", self.browser_url)):
            if not url.startswith("https://"):
                faults.append(f"{name}: https is needed")
        return faults
