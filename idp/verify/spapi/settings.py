"""What an operator decides about the SP-API. What is not publicly known is configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from string import Formatter
from typing import Annotated, Any, Literal, Self

from cryptography import x509
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    model_validator,
)

from idp.kernel.settings import Section
from idp.verify.settings import NO_APPS, HttpUrl, Path, UpstreamSettings, words
from idp.verify.spapi import evidence, wire
from idp.verify.spapi.checksum import fault_in_key, is_sample
from idp.verify.spapi.rules import SCHEME, RtnEncoding

__all__ = ["SCHEME", "SpApiSettings", "SpService"]

MethodId = Literal["qr", "push", "web"]
LINK_NAMES = ("sp_ticket", "rtn_url", "rtn_val")
APP_LINK = (
    "mobilemoica://moica.moi.gov.tw/a2a/verifySign"
    "?sp_ticket={sp_ticket}&rtn_url={rtn_url}&rtn_val={rtn_val}"
)


@dataclass(frozen=True, slots=True)
class SpService:
    """One account: what the ministry registered. `keys` are 1 or 2 (base64 of 32 bytes), the
    newest first; `name` is what phones show for it."""

    sp_service_id: str
    keys: tuple[str, ...] = field(repr=False)
    name: str = ""

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> SpService:
        """As the operator's command stored it for a relying party."""
        return cls(document["sp_service_id"], tuple(document["keys"]), document["name"])

    @classmethod
    def checked(cls, sp_service_id: str, keys: Sequence[str], name: str) -> SpService:
        """As an operator gives them. Raises ValueError."""
        if len(keys) not in (1, 2):
            raise ValueError("1 or 2 keys are needed")
        if fault := next((fault for key in keys if (fault := fault_in_key(key))), None):
            raise ValueError(fault)
        return cls(usable_service_id(sp_service_id), tuple(keys), name)

    def document(self) -> dict[str, Any]:
        return {
            "sp_service_id": self.sp_service_id,
            "keys": list(self.keys),
            "name": self.name,
        }


def usable_service_id(value: str) -> str:
    if not wire.fits("sp_service_id", value):
        raise ValueError("letters, digits, dots, hyphens and underscores are needed")
    if re.match(r"0[A-Z]", value):
        # behind a transaction_id it would read as a success and the first letter of a number, and
        # our own signature of a request as the ministry's of an answer
        raise ValueError("an sp_service_id must not begin with 0 and a letter")
    return value


def _usable_key(key: SecretStr) -> SecretStr:
    if fault := fault_in_key(key.get_secret_value()):
        raise ValueError(fault)
    return key


def _hint(value: str) -> str:
    if not wire.fits("hint", value):
        raise ValueError("1 to 100 printable characters are needed")
    return value


def _app_link(template: str) -> str:
    """A link of an app's own scheme, or of a site that the app has claimed."""
    if not template:
        return template
    scheme = re.match(r"([a-z][a-z0-9+.-]*):[!#-;=?-~]+\Z", template)
    if scheme is None or scheme[1] in NO_APPS:
        raise ValueError("a link of an app is needed")
    names = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    if any(name not in LINK_NAMES for name in names) or names.count("sp_ticket") != 1:
        raise ValueError("{sp_ticket} once, and {rtn_url} and {rtn_val} if wanted")
    return template


def _issuers(file: FilePath) -> FilePath:
    try:
        evidence.issuers_of(file.read_bytes())
    except OSError as fault:
        raise ValueError(f"cannot be read: {fault.strerror}") from None
    return file


Key = Annotated[SecretStr, AfterValidator(_usable_key)]


class SpApiPaths(Section):
    ath_01: Path = Field("/moise/sp/getSpTicket", description="open a ticket (QR, app link)")
    ath_02: Path = Field("/moise/sp/getAthOrSignResult", description="ask for the result")
    ath_03: Path = Field("/moise/sp/requestAthOrSignPush", description="open a ticket (push)")
    web_01: Path = Field("/fidoRedirect/web", description="web redirect, opened by the browser")
    lf_01: Path = Field(
        "/moise/sp/checkDeviceStatus", description="is this person enrolled; not confirmed"
    )

    def of(self, interface: str) -> str:
        """The path of an interface, e.g. ATH-02."""
        path: str = getattr(self, interface.lower().replace("-", "_"))
        return path


class SpApiSettings(UpstreamSettings):
    api_url: HttpUrl = Field(
        ...,
        description="where our server calls: https://fidoapi.moi.gov.tw,"
        " https://fidoapi-test.moi.gov.tw or the simulator",
    )
    web_url: HttpUrl | None = Field(
        None, description="where browsers are sent: https://fido.moi.gov.tw; without it api_url"
    )
    paths: SpApiPaths = SpApiPaths()
    methods: tuple[MethodId, ...] = Field(
        ("qr", "push", "web"),
        description="methods that are on; leave web out if ATH-02 does not answer for it",
    )
    sp_service_id: Annotated[str, AfterValidator(usable_service_id)] = Field(
        ..., description="our own service, as the ministry registered it"
    )
    keys: Annotated[tuple[Key, ...], BeforeValidator(words)] = Field(
        ...,
        min_length=1,
        max_length=2,
        description="keys of our service, base64 of 32 bytes each; newest first, two in a change",
    )
    system_name: str = Field(
        "", max_length=100, description="name registered for our service, as phones show it"
    )
    hint: Annotated[str, AfterValidator(_hint)] = Field(
        "請確認是您本人正在登入", description="words that the phone shows beside the name"
    )
    time_limit: int = Field(180, ge=30, le=600, description="seconds that a ticket lives")
    poll_seconds: int = Field(
        4, ge=4, le=60, description="seconds between two questions about one ticket"
    )
    qr_op_mode: Literal["I-SCAN", "APP2APP", "MWEB2APP"] = Field(
        "I-SCAN", description="op_mode of the ticket that QR code and app link share"
    )
    app_link: Annotated[str, AfterValidator(_app_link)] = Field(
        APP_LINK,
        description="link that opens the app on the same phone, with {sp_ticket}, {rtn_url} and"
        " {rtn_val}; empty: no such link is offered",
    )
    rtn_encoding: RtnEncoding = Field(
        "base64url", description="how rtn_url and rtn_val are written in the link"
    )
    sign_type: Literal["PKCS#1", ""] = Field(
        "PKCS#1", description="what the person's key is asked for; empty: no signature is asked for"
    )
    signed_response: Literal["record", "require"] = Field(
        "record",
        description="require: nobody is let in unless signature and chain were verified; record:"
        " the audit trail says what was",
    )
    hashed_id_num: Literal["refuse", "follow"] = Field(
        "refuse",
        description="when the service calls a person by another hashed_id_num than before, an alarm"
        " is raised; refuse: and nobody is let in; follow: the new one is remembered",
    )
    issuing_certificates: Annotated[FilePath, AfterValidator(_issuers)] | None = Field(
        None, description="PEM file of the CAs that issue citizens' certificates, to verify them"
    )
    return_path: Path = Field("/spapi/return", description="path where browsers come back")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.methods)) != len(self.methods):
            raise ValueError("methods: a method is named twice")
        if self.signed_response == "require" and not (self.issuing_certificates and self.sign_type):
            raise ValueError("signed_response: require needs sign_type and issuing_certificates")
        return self

    @property
    def own_service(self) -> SpService:
        keys = tuple(key.get_secret_value() for key in self.keys)
        return SpService(self.sp_service_id, keys, self.system_name)

    @property
    def server_url(self) -> str:
        return self.api_url

    @property
    def browser_url(self) -> str:
        return self.web_url or self.api_url

    def issuers(self) -> tuple[x509.Certificate, ...]:
        file = self.issuing_certificates
        return evidence.issuers_of(file.read_bytes()) if file else ()

    def production_faults(self) -> list[str]:
        faults = []
        if any(is_sample(key.get_secret_value()) for key in self.keys):
            faults.append("keys: a key that is printed in public")
        for name, url in (("api_url", self.api_url), ("web_url", self.browser_url)):
            if not url.startswith("https://"):
                faults.append(f"{name}: https is needed")
        return faults
