"""What an operator decides about members and WeCard applications."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, SecretStr, model_validator

from idp.kernel.settings import Network, Section

UNGUESSABLE = 22  # characters of the path: 128 random bits as base64url

OptionalField = Literal[
    "head_image",
    "identity_title",
    "card_type",
    "id_card",
    "country",
    "telephone",
    "expire_at",
    "start_time",
    "physical_chip_number",
    "physical_card_number",
    "employer",
    "email",
    "qq",
    "nation",
    "address",
    "en_name",
    "office_phone",
]
OPTIONAL: tuple[str, ...] = get_args(OptionalField)


def _usable_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if len(text) < 16 or not text.isascii() or not text.isprintable():
        raise ValueError("at least 16 ASCII characters are needed")
    return secret


AppSecret = Annotated[SecretStr, AfterValidator(_usable_secret)]


class WeCardApplication(Section):
    name: str = Field("電子卡", max_length=100, description="what people call this card")
    path: str = Field(
        ...,
        pattern=r"^[A-Za-z0-9_-]{8,128}\z",
        description="last part of the verification URL, /wecard/PATH; unguessable, in production"
        f" at least {UNGUESSABLE} characters (openssl rand -hex 16)",
    )
    app_key: str = Field(
        ...,
        pattern=r"^[!-~]{16}\z",
        repr=False,
        description="APP_KEY that Tencent gave, 16 characters; it is also the AES key",
    )
    app_secret: AppSecret = Field(
        ..., description="APP_SECRET that Tencent gave; its first 16 characters are the IV"
    )
    allowed_sources: tuple[Network, ...] = Field(
        (), description="networks that may call; nobody else is answered, so none means nobody"
    )
    credential: Literal["binding_code", "password", "either"] = Field(
        "binding_code",
        description="what a person types as the password: a one-time code from the /wecard page,"
        " the directory password, or either of them",
    )
    fields: tuple[OptionalField, ...] = Field(
        (), description="what is answered beside the required five; the fewest is the best"
    )
    identity_types: dict[str, str] = Field(
        {"其他": "其他", "用户": "用户"},
        description="the directory's identity types and the names they have at WeCard",
    )
    identity_type_default: str = Field(
        "其他", min_length=1, description="name at WeCard of every identity type not listed"
    )
    expire_field: Literal["expire_at", "expire_time"] = Field(
        "expire_at", description="how the end of validity is called in the answer"
    )
    refusal_code: int = Field(1001, description="code of every refusal; 0 would be success")
    refusal_message: str = Field(
        "验证失败",
        min_length=1,
        max_length=200,
        description="what WeCard shows on every refusal; its readers read simplified characters",
    )
    requests_per_minute: int = Field(
        600, ge=1, description="calls that one source address may make; more answer 429"
    )

    @model_validator(mode="after")
    def _refuses(self) -> Self:
        if self.refusal_code == 0:
            raise ValueError("refusal_code: 0 means success")
        return self

    @property
    def takes_codes(self) -> bool:
        return self.credential != "password"

    @property
    def takes_passwords(self) -> bool:
        return self.credential != "binding_code"

    @property
    def iv(self) -> bytes:
        return self.app_secret.get_secret_value()[:16].encode()

    @property
    def key(self) -> bytes:
        return self.app_key.encode()

    def faults(self) -> list[str]:
        """What must not start in production."""
        faults = []
        if not self.allowed_sources:
            faults.append("allowed_sources: name the networks that Tencent calls from")
        if any(ipaddress.ip_network(n).prefixlen == 0 for n in self.allowed_sources):
            faults.append("allowed_sources: the whole internet is not a list of sources")
        if len(self.path) < UNGUESSABLE:
            faults.append(
                f"path: at least {UNGUESSABLE} characters, please: it must not be guessed"
            )
        return faults


class MembersSettings(Section):
    wecard: dict[str, WeCardApplication] = Field(
        {}, description="WeCard applications, each under a short name: [members.wecard.NAME]"
    )
    code_seconds: int = Field(
        600, ge=60, le=3600, description="how long a binding code may wait for its one use"
    )

    @model_validator(mode="after")
    def _paths_differ(self) -> Self:
        paths = [application.path for application in self.wecard.values()]
        if len(set(paths)) != len(paths):
            raise ValueError("wecard: two applications have the same path")
        return self

    def production_faults(self) -> list[str]:
        """What must not start in production; empty if all is well."""
        return [
            f"wecard.{name}.{fault}"
            for name, application in self.wecard.items()
            for fault in application.faults()
        ]
