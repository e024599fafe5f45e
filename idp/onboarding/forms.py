"""The forms of the road: what an applicant writes, field by field, and what a client makes of it.

A form is a pydantic model: its fields have a zh-TW `title`, an English `description` and a `kind`
that says how a page asks for it. What is typed is kept as a draft however wrong it is, and read by
`read_form` when it is submitted. Faults and remarks name a field as `step.field`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from idp.kernel.mail import an_address
from idp.kernel.settings import Network
from idp.onboarding.workflow import Kind
from idp.registry.registration import (
    CallUri,
    LogoutUri,
    Page,
    RedirectUri,
    Registration,
)

Draft = Mapping[str, Mapping[str, Any]]  # step → field → text, or a list of texts
LONGEST_TEXT, MOST_LINES = 2_000, 30
DRAFT_BYTES = 48_000


class BadForm(Exception):
    """`faults`: `step.field` → why, in plain words."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{where}: {why}" for where, why in faults.items()))
        self.faults = dict(faults)


def _visible(text: str) -> str:
    """One line of text that shows."""
    if not all(character.isprintable() for character in text):
        raise ValueError("holds characters that cannot be seen")
    return text


def _readable(text: str) -> str:
    """Several lines."""
    if not all(character.isprintable() or character in "\r\n\t" for character in text):
        raise ValueError("holds characters that cannot be seen")
    return text


def _lines(value: Any) -> Any:
    """A page asks for lists in one box, an entry on each line."""
    if isinstance(value, str):
        value = [line.strip() for line in value.splitlines() if line.strip()]
    if isinstance(value, list | tuple) and len(value) > MOST_LINES:
        raise ValueError(f"at most {MOST_LINES} lines")
    return value


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) and value else value or ()


def _given(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


PHONE = re.compile(r"\A[0-9+()#\- ]{6,40}\Z")


def _phone(text: str) -> str:
    if not PHONE.match(text):
        raise ValueError("digits, blanks and + - ( ) #, e.g. 02-1234-5678 #901")
    return text


def _a_scope_with_purpose(line: str) -> str:
    scope, _, purpose = line.partition(" ")
    if not scope or not purpose.strip():
        raise ValueError(f"{line!r}: a scope, a blank, and what it is needed for")
    return f"{scope} {purpose.strip()}"


def _some(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if not value:
        raise ValueError("must not be empty")
    return value


Line = Annotated[str, Field(max_length=100), AfterValidator(_visible)]
Needed = Annotated[Line, AfterValidator(_given)]
Prose = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_readable)]
Told = Annotated[Prose, AfterValidator(_given)]
Phone = Annotated[str, AfterValidator(_phone)]
Address = Annotated[str, AfterValidator(an_address)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_lines)]
Redirects = Annotated[tuple[RedirectUri, ...], BeforeValidator(_lines), AfterValidator(_some)]
Logouts = Annotated[tuple[LogoutUri, ...], BeforeValidator(_lines)]
Scopes = Annotated[
    tuple[Annotated[Line, AfterValidator(_a_scope_with_purpose)], ...],
    BeforeValidator(_lines),
    AfterValidator(_some),
]

OrganisationKind = Literal["政府機關", "公營事業", "學術機關", "公司行號"]
Served = Literal[
    "政府機關", "公營事業", "學術機關", "公司行號", "一般民眾", "公務人員", "其他"
]  # fmt: skip
Means = Literal[
    "組織憑證", "工商憑證", "自然人憑證", "醫事憑證", "電子憑證", "健保卡", "戶口名簿戶號",
    "會員管理", "其他",
]  # fmt: skip
Volume = Literal["未滿1萬", "1~10萬", "11~20萬", "21~50萬", "51萬以上"]
Security = Literal["低", "中", "高"]
Month = Literal["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"]
Method = Literal["client_secret_basic", "client_secret_post", "private_key_jwt"]


def _field(title: str, description: str, kind: str = "line", default: Any = ...) -> Any:
    return Field(default, title=title, description=description, json_schema_extra={"kind": kind})


class Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Organisation(Form):
    """申請機關 · Organisation"""

    name: Needed = _field("機關（單位）名稱", "Organisation")
    name_en: Line = _field("英文名稱", "Its name in English", default="")
    unit: Needed = _field("業務單位", "Unit in charge")
    kind: OrganisationKind = _field("機關類別", "Kind of organisation", "choice")
    address: Needed = _field("地址", "Address")


class Contacts(Form):
    """聯絡人 · Contacts"""

    contact_name: Needed = _field("聯絡人姓名", "Contact")
    contact_phone: Phone = _field("聯絡人電話", "Contact's phone", "phone")
    contact_email: Address = _field("聯絡人電子郵件", "Contact's e-mail", "email")
    deputy_name: Needed = _field("代理人姓名", "Deputy, or else the supervisor")
    deputy_phone: Phone = _field("代理人電話", "Deputy's phone", "phone")
    deputy_email: Address = _field("代理人電子郵件", "Deputy's e-mail", "email")
    head_name: Needed = _field("單位主管姓名", "Head of the unit")
    head_phone: Phone = _field("單位主管電話", "Head's phone", "phone")
    head_email: Address = _field("單位主管電子郵件", "Head's e-mail", "email")
    contractor: Line = _field("委外廠商（無則免填）", "Contractor, if any", default="")
    contractor_contact: Line = _field("委外廠商聯絡人", "Contractor's contact", default="")
    contractor_phone: Phone | Literal[""] = _field(
        "委外廠商電話", "Contractor's phone", "phone", default=""
    )
    contractor_email: Address | Literal[""] = _field(
        "委外廠商電子郵件", "Contractor's e-mail", "email", default=""
    )


class System(Form):
    """系統資料 · System"""

    name: Needed = _field("系統名稱", "Name of the system")
    name_en: Line = _field("系統英文名稱", "Its name in English", default="")
    description: Told = _field("系統說明", "What it does", "text")
    served: Annotated[tuple[Served, ...], BeforeValidator(_one_or_more), AfterValidator(_some)] = (
        _field("服務對象", "Whom it serves", "choices")
    )
    served_other: Line = _field("服務對象（其他）", "Others that it serves", default="")
    means: Annotated[tuple[Means, ...], BeforeValidator(_one_or_more)] = _field(
        "現行身分識別方式", "How people are identified now", "choices", default=()
    )
    means_other: Line = _field("現行身分識別方式（其他）", "Other means", default="")
    peak_months: Annotated[tuple[Month, ...], BeforeValidator(_one_or_more)] = _field(
        "尖峰月份", "Peak months", "choices", default=()
    )
    volume_average: Volume = _field("每月平均使用量", "Verifications in a month", "choice")
    volume_peak: Volume = _field("尖峰月份使用量", "Verifications in a peak month", "choice")
    security: Security = _field("資安等級", "Security class", "choice")
    planned: date = _field("預計正式上線日期", "Planned day of going live", "date")


class Protocol(Form):
    """介接資料 · Connection"""

    redirect_uris: Redirects = _field(
        "測試環境重新導向網址（一行一個）", "Redirect URIs in the sandbox, one on a line", "lines"
    )
    post_logout_redirect_uris: Logouts = _field(
        "登出後導向網址", "Post-logout redirect URIs", "lines", default=()
    )
    backchannel_logout_uri: CallUri = _field(
        "後端登出通知網址", "Back-channel logout URI", default=""
    )
    token_endpoint_auth_method: Method = _field(
        "用戶端驗證方式", "Client authentication", "choice", default="client_secret_basic"
    )
    jwks_uri: CallUri = _field("公鑰網址", "jwks_uri, for private_key_jwt", default="")
    scopes: Scopes = _field(
        "需要的資料與用途（一行一項：scope 空格 用途）",
        "Scopes, each with its purpose: scope, blank, purpose; one on a line",
        "lines",
    )
    push: bool = _field("允許手機推播驗證", "Push to a phone is allowed", "check", default=False)
    client_uri: Page = _field("服務網址", "Home page", default="")
    policy_uri: Page = _field("隱私權政策網址", "Privacy policy", default="")


class Parameter(Form):
    """One parameter of a data provider's interface."""

    key: Needed
    title: Needed
    example: Line = ""
    dummy: Line = ""
    optional: bool = False


def _parameters(value: Any) -> Any:
    """鍵值｜中文名稱｜說明｜虛擬值｜選填, on each line."""
    found = []
    for line in _lines(value) if isinstance(value, str) else ():
        parts = [part.strip() for part in re.split(r"[|｜]", line)]
        if not 2 <= len(parts) <= 5:
            raise ValueError(f"{line!r}: key | name | example | dummy | optional")
        names = ("key", "title", "example", "dummy", "optional")
        given: dict[str, Any] = dict(zip(names, parts, strict=False))
        if "optional" in given:
            given["optional"] = given["optional"] in ("選填", "optional", "是", "yes", "true")
        found.append(given)
    return found if isinstance(value, str) else value


class Dataset(Form):
    """資料集 · Dataset"""

    name: Needed = _field("資料集名稱", "Dataset")
    category: Needed = _field("資料集類別", "Category")
    resource: Annotated[Needed, AfterValidator(lambda v: _https(v))] = _field(
        "資源網址", "Address of the API that provides it"
    )
    openapi_uri: Page = _field("介接 API 文件網址（OpenAPI）", "OpenAPI document", default="")
    test_page: Page = _field("前端測試頁網址", "Front-end test page", default="")
    parameters: Annotated[tuple[Parameter, ...], BeforeValidator(_parameters)] = _field(
        "參數（一行一個：鍵值｜中文名稱｜說明｜虛擬值｜選填）",
        "Parameters, one on a line: key | name | example | dummy | optional",
        "lines",
        default=(),
    )


def _https(uri: str) -> str:
    if not uri.startswith("https://"):
        raise ValueError("an https address")
    return uri


class Extension(Form):
    """申請延長測試 · Extension"""

    reason: Told = _field("延長原因", "Why", "text")


class GoLive(Form):
    """申請上線 · Going live"""

    planned: date = _field("預估上線日期", "Planned day", "date")
    redirect_uris: Annotated[tuple[RedirectUri, ...], BeforeValidator(_lines)] = _field(
        "正式環境重新導向網址", "Redirect URIs of production", "lines", default=()
    )
    post_logout_redirect_uris: Logouts = _field(
        "正式環境登出後導向網址", "Post-logout redirect URIs", "lines", default=()
    )
    backchannel_logout_uri: CallUri = _field(
        "正式環境後端登出通知網址", "Back-channel logout URI", default=""
    )
    networks: Annotated[Networks, AfterValidator(_some)] = _field(
        "介接主機 IP（一行一個）", "Addresses of the connecting hosts, one on a line", "lines"
    )
    checklist: Told = _field("測試檢核結果", "What was tested, and how", "text")


class Report(Form):
    """試辦報告 · Report of the pilot"""

    summary: Told = _field("試辦結果", "Results of the pilot", "text")


class Letter(Form):
    """公文 · Official letter"""

    number: Needed = _field("發文字號", "Number of the letter")
    day: date = _field("發文日期", "Day of the letter", "date")
    until: date | None = _field(
        "核准使用至（無期限則免填）", "Approved until", "date", default=None
    )


STEPS: dict[str, type[Form]] = {
    "organisation": Organisation,
    "contacts": Contacts,
    "system": System,
    "protocol": Protocol,
    "dataset": Dataset,
}
PAPERS: dict[str, type[Form]] = {
    "extension": Extension,
    "go_live": GoLive,
    "report": Report,
    "letter": Letter,
}
F = TypeVar("F", bound=Form)


class Application(Form):
    """All the steps of an application of one kind."""

    organisation: Organisation
    contacts: Contacts
    system: System
    protocol: Protocol | None = None
    dataset: Dataset | None = None


def steps_of(kind: Kind) -> tuple[str, ...]:
    last = "dataset" if kind is Kind.DATA else "protocol"
    return ("organisation", "contacts", "system", last)


def read_form(form: type[F], step: str, fields: Mapping[str, Any]) -> F:
    """What was typed, as the form has it. An empty field was left out. Raises BadForm."""
    given = {name: value for name, value in fields.items() if value not in ("", [], ())}
    try:
        return form.model_validate(given)
    except ValidationError as broken:
        raise BadForm(_faults(step, broken)) from None


def _faults(step: str, broken: ValidationError) -> dict[str, str]:
    """The first fault of each field."""
    found: dict[str, str] = {}
    for fault in broken.errors():
        where = f"{step}.{fault['loc'][0]}" if fault["loc"] else step
        missing = fault["type"] == "missing"
        why = "must not be empty" if missing else fault["msg"].removeprefix("Value error, ")
        found.setdefault(where, why)
    return found


def read_application(kind: Kind, draft: Draft) -> Application:
    """Raises BadForm with the faults of every step."""
    faults: dict[str, str] = {}
    forms: dict[str, Form] = {}
    for step in steps_of(kind):
        try:
            forms[step] = read_form(STEPS[step], step, draft.get(step, {}))
        except BadForm as bad:
            faults |= bad.faults
    if faults:
        raise BadForm(faults)
    application = Application.model_validate(forms)
    registration_of(kind, application, Stage.SANDBOX)
    return application


# ── what a client makes of it ───────────────────────────────────────────────────────────────────


class Stage(StrEnum):
    SANDBOX = "sandbox"
    PILOT = "pilot"
    PRODUCTION = "production"


def registration_of(
    kind: Kind, application: Application, stage: Stage, go_live: GoLive | None = None
) -> Registration:
    """Raises BadForm: each field may be right, and all of them together not."""
    try:
        return Registration.model_validate(_members(kind, application, stage, go_live))
    except ValidationError as broken:
        step = "go_live" if go_live else steps_of(kind)[-1]
        known = (PAPERS | STEPS)[step].model_fields
        faults: dict[str, str] = {}
        for fault in broken.errors():
            name = str(fault["loc"][0]) if fault["loc"] else ""
            where = f"{step}.{name}" if name in known else step
            faults.setdefault(where, fault["msg"].removeprefix("Value error, "))
        raise BadForm(faults) from None


def _members(
    kind: Kind, application: Application, stage: Stage, go_live: GoLive | None
) -> dict[str, Any]:
    owner, system = application.organisation, application.system
    found: dict[str, Any] = {
        "client_name": system.name,
        "client_name_en": system.name_en,
        "agency": owner.name,
        "sandbox": stage is Stage.SANDBOX,
    }
    if stage is Stage.PILOT and go_live:
        found["allowed_networks"] = go_live.networks
    if application.dataset:
        found["grant_types"] = ("client_credentials",)
        found["audience"] = (application.dataset.resource,)
    if application.protocol:
        found |= _site(application.protocol)
    if application.protocol and go_live:
        found |= {
            "redirect_uris": go_live.redirect_uris,
            "post_logout_redirect_uris": go_live.post_logout_redirect_uris,
            "backchannel_logout_uri": go_live.backchannel_logout_uri,
        }
    if kind is Kind.COUNTER:
        found["kiosk"] = True
    return found


def _site(protocol: Protocol) -> dict[str, Any]:
    asked = dict(line.split(" ", 1) for line in protocol.scopes)
    grants = ["authorization_code"]
    if "offline_access" in asked:
        grants.append("refresh_token")
    return {
        "redirect_uris": protocol.redirect_uris,
        "post_logout_redirect_uris": protocol.post_logout_redirect_uris,
        "backchannel_logout_uri": protocol.backchannel_logout_uri,
        "token_endpoint_auth_method": protocol.token_endpoint_auth_method,
        "jwks_uri": protocol.jwks_uri,
        "grant_types": tuple(grants),
        "scopes": tuple(dict.fromkeys(("openid", *asked))),
        "purpose": "；".join(dict.fromkeys(asked.values()))[:100],
        "client_uri": protocol.client_uri,
        "policy_uri": protocol.policy_uri,
        # a push rings somebody's phone: only where it was asked for
        "methods": () if protocol.push else ("qr", "web", "dongle"),
    }


# ── looking at forms ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Asked:
    """A field as a page asks for it. `choices` are what may be chosen."""

    name: str
    title: str
    title_en: str
    kind: str
    needed: bool
    choices: tuple[str, ...] = ()


def asked(form: type[Form]) -> Iterator[Asked]:
    for name, field in form.model_fields.items():
        extra = field.json_schema_extra
        kind = str(extra["kind"]) if isinstance(extra, dict) else "line"
        choices = tuple(_choices(field.annotation)) if kind.startswith("choice") else ()
        yield Asked(
            name, field.title or name, field.description or name, kind, field.is_required(), choices
        )


def _choices(annotation: Any) -> Iterator[str]:
    """The words of the Literal, however deep it stands."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
        return
    for inner in get_args(annotation):
        yield from _choices(inner)


@dataclass(frozen=True, slots=True)
class Changed:
    """A field that two versions of a document say differently."""

    where: str
    before: str
    after: str


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Changed]:
    """Between two applications as they are stored, by `step.field`."""
    old, new = dict(_flat(before)), dict(_flat(after))
    names = list(dict.fromkeys((*old, *new)))
    return [
        Changed(name, old.get(name, ""), new.get(name, ""))
        for name in names
        if old.get(name, "") != new.get(name, "")
    ]


def _flat(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for step, fields in document.items():
        for name, value in (fields or {}).items():
            yield f"{step}.{name}", shown(value)


def shown(value: Any) -> str:
    """A value as a person reads it."""
    if isinstance(value, bool):
        return "✓" if value else ""
    if isinstance(value, list | tuple):
        return "\n".join(shown(each) for each in value)
    if isinstance(value, Mapping):
        return " | ".join(shown(each) for each in value.values())
    return "" if value is None else str(value)
