"""What the documents say about the code: tables, and the body of config/default.toml.

`make docs` lets cog call these functions where a page says so, and write the results there;
tests/test_documents.py fails while that would change anything.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import click
import typer.main
from prometheus_client import Counter, Gauge, Histogram
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from idp.cli import app as command_line
from idp.kernel import metrics
from idp.kernel.audit import CATALOGUE
from idp.kernel.errors import (
    IdpError,
    PageError,
    ProtocolError,
    VerificationError,
    all_errors,
)
from idp.oidc.routes import GRID, Origins
from idp.oidc.scopes import BESIDE, CLAIMS
from idp.registry.registration import SITE, Registration
from idp.settings import Settings
from idp.verify.simulated.people import Persona
from idp.verify.spapi import rules as spapi_rules
from idp.verify.spapi import wire as spapi_wire
from idp.verify.spapi.simulator import personas as spapi_personas
from idp.verify.twfido import wire
from idp.verify.twfido.rules import METHODS
from idp.verify.twfido.simulator.personas import PERSONAS

from .languages import ENGLISH, Say

GROUPS = (ProtocolError, PageError, VerificationError)


# ── settings ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Setting:
    """One key. `section` is its table in TOML ("" at the top); NAME stands for a chosen name."""

    section: str
    key: str
    field: FieldInfo

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}" if self.section else self.key

    @property
    def default(self) -> str:
        """As TOML; "required", or "" where nothing is set."""
        value = self.field.get_default(call_default_factory=True)
        if value is PydanticUndefined:
            return "required"
        return "" if value is None else toml(value)

    @property
    def description(self) -> str:
        return self.field.description or ""


def settings(model: type[BaseModel] = Settings, section: str = "") -> Iterator[Setting]:
    """Every key of every section, those without a section first, as TOML wants it."""
    deeper: list[tuple[type[BaseModel], str]] = []
    for key, field in model.model_fields.items():
        path = f"{section}.{key}" if section else key
        inner, named = _section(field)
        if inner is None:
            yield Setting(section, key, field)
        else:
            deeper.append((inner, f"{path}.NAME" if named else path))
    for inner, path in deeper:
        yield from settings(inner, path)


def _section(field: FieldInfo) -> tuple[type[BaseModel] | None, bool]:
    """(the section behind a field, whether there may be several under chosen names)."""
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind, False
    for optional in get_args(kind) if get_origin(kind) in (Union, types.UnionType) else ():
        if isinstance(optional, type) and issubclass(optional, BaseModel):
            return optional, False
    last = (get_args(kind) or (None,))[-1]
    if get_origin(kind) is dict and isinstance(last, type) and issubclass(last, BaseModel):
        return last, True
    return None, False


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml(k)} = {toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, str | Path):
        return json.dumps(str(value), ensure_ascii=False)
    return str(value)


def allowed(field: FieldInfo, say: Say = ENGLISH) -> str:
    """What a value may be, in words."""
    bounds = {type(m).__name__.lower(): m for m in field.metadata}
    least = next((getattr(m, k) for k, m in bounds.items() if k in ("ge", "gt")), None)
    most = next((getattr(m, k) for k, m in bounds.items() if k in ("le", "lt")), None)
    kind = _kind(field.annotation, say)
    if least is None:
        return kind
    if most is not None:
        return say("{kind}, {least} to {most}").format(kind=kind, least=least, most=most)
    above = "{kind}, over {least}" if "gt" in bounds else "{kind}, from {least}"
    return say(above).format(kind=kind, least=least)


_KINDS = {bool: "true or false", int: "number", float: "number", str: "text", Path: "path"}


def _kind(kind: Any, say: Say) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ", ".join(f"`{v}`" for v in inner)
    if origin in (Union, types.UnionType):
        return " ".join(_kind(k, say) for k in inner if k is not type(None))
    if hasattr(kind, "__metadata__"):  # Annotated
        return _kind(inner[0], say)
    if origin is tuple:
        return say("list of {kind}").format(kind=_kind(inner[0], say))
    if origin is dict:
        return say("table of text")
    return say("text (secret)" if kind is SecretStr else _KINDS.get(kind, "text"))


def settings_table() -> str:
    rows = [
        (f"`{s.name}`", f"`{s.default}`" if s.default else "", allowed(s.field), s.description)
        for s in settings()
    ]
    return table(("setting", "default", "value", "what it is"), rows)


def default_toml() -> str:
    """Every setting with its description and default, commented out."""
    lines: list[str] = []
    section = ""
    for setting in settings():
        if setting.section != section:
            section = setting.section
            lines += ["", f"{'#' if '.NAME' in section else ''}[{section}]"]
        value = setting.default
        note = {"required": " (required)", "": " (not set)"}.get(value, "")
        value = "" if note else value
        lines += ["", f"# {setting.description}{note}", f"#{setting.key} = {value}".rstrip()]
    return "\n".join(lines)


# ── the other tables ────────────────────────────────────────────────────────────────────────────


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], say: Say = ENGLISH) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    heads = tuple(say(cell) for cell in head)
    return "\n".join([line(heads), line(("---",) * len(head)), *map(line, rows)])


def errors_table() -> str:
    """The concrete errors, in the order of idp/kernel/errors.py."""
    rows = [
        (
            f"`{cls.code}`",
            cls.__name__,
            f"`{cls.error}`" if cls.error else "(none)",
            str(cls.status),
            "yes" if cls.may_redirect else "",
            cls.description,
            " ".join([cls.title, cls.advice, *getattr(cls, "instead", {}).values()]),
            "yes" if cls.reportable else "",
            cls.operator,
        )
        for cls in all_errors()
        if cls not in (IdpError, *GROUPS)
    ]
    head = (
        "code",
        "class",
        "`error`",
        "HTTP",
        "by redirect",
        "`error_description`",
        "page",
        "report",
        "for the operator",
    )
    return table(head, rows)


def audit_table(say: Say = ENGLISH) -> str:
    rows = [(f"`{name}`", say(said)) for name, said in sorted(CATALOGUE.items())]
    return table(("event", "what happened"), rows, say)


def metric_families() -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """(name as exposed, kind, description, labels), in the order of idp/kernel/metrics.py."""
    for found in vars(metrics).values():
        if isinstance(found, Counter | Gauge | Histogram):
            family = next(iter(found.describe()))
            total = "_total" if family.type == "counter" else ""
            yield family.name + total, family.type, family.documentation, found._labelnames


def metrics_table(say: Say = ENGLISH) -> str:
    rows = [
        (f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels), say(said))
        for name, kind, said, labels in metric_families()
    ]
    return table(("metric", "kind", "labels", "what it counts"), rows, say)


def commands() -> Iterator[tuple[str, click.Command]]:
    """(“idp client create”, its command), depth first."""

    def walk(command: Any, words: str) -> Iterator[tuple[str, click.Command]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield words, command
            return
        for name, child in inner.items():
            yield from walk(child, f"{words} {name}")

    yield from walk(typer.main.get_command(command_line), "idp")


def commands_table(say: Say = ENGLISH) -> str:
    rows = []
    for words, command in commands():
        given = [
            p.name.upper() for p in command.params if p.param_type_name == "argument" and p.name
        ]
        options = [p.opts[-1] for p in command.params if p.param_type_name == "option"]
        shown = " ".join(f"`{option}`" for option in options if option != "--help")
        said = say(" ".join((command.help or "").split()))
        rows.append((f"`{' '.join([words, *given])}`", said, shown))
    return table(("command", "what it does", "options"), rows, say)


def methods_table(say: Say = ENGLISH) -> str:
    every = (*METHODS.values(), *spapi_rules.METHODS.values())
    rows = [
        (f"`{m.id}`", f"`{m.acr}`", " ".join(f"`{a}`" for a in m.amr), str(m.rank))
        for m in sorted(every, key=lambda m: m.rank)
    ]
    return table(("method", "`acr`", "`amr`", "rank"), rows, say)


def scopes_table(say: Say = ENGLISH) -> str:
    rows = [
        (f"`{scope}`", ", ".join(f"`{c}`" for c in _with_beside(claims)) or say("(none)"))
        for scope, claims in CLAIMS.items()
    ]
    return table(("scope", "claims"), rows, say)


def _with_beside(claims: Sequence[str]) -> list[str]:
    return [name for claim in claims for name in (claim, BESIDE.get(claim, "")) if name]


def endpoints_table() -> str:
    """The grid of idp/oidc/routes.py."""
    rows = [
        (
            f"`{cell.path}`",
            ", ".join(cell.handlers),
            cell.who,
            cell.what,
            cell.errors.value,
            "" if cell.origins is Origins.NONE else cell.origins.value,
        )
        for cell in GRID
    ]
    return table(("path", "method", "who", "what", "errors", "other origins"), rows)


def _default(member: str, field: FieldInfo) -> str:
    """Of a member of a registration."""
    if field.is_required():
        return "required"
    if member in SITE:
        return "depends"
    return f"`{toml(field.default)}`".replace("`None`", "")


def metadata_table(say: Say = ENGLISH) -> str:
    rows = [
        (
            f"`{name}`",
            say(_default(name, field)),
            allowed(field, say),
            say(field.description or ""),
        )
        for name, field in Registration.model_fields.items()
    ]
    return table(("member", "default", "value", "what it is"), rows, say)


def personas_table(people: Mapping[str, Persona] = PERSONAS) -> str:
    rows = [(f"`{p.pid}`", p.en, p.zh) for p in people.values()]
    return table(("number", "what this person does", "中文"), rows)


def successor_personas_table() -> str:
    return personas_table(spapi_personas.PERSONAS)


def successor_interfaces_table() -> str:
    return interfaces_table("SP-API", spapi_wire.INTERFACES)


def interfaces_table(api: str = "RP-API", interfaces: Mapping[str, Any] = wire.INTERFACES) -> str:
    rows = [
        (
            f"{api}-{row.name}",
            "+".join(row.request_sum),
            "+".join(row.answer_sum),
            "yes" if row.resend else "never",
        )
        for row in interfaces.values()
    ]
    return table(("interface", "request checksum", "answer checksum", "sent again"), rows)


def decisions_table() -> str:
    """The index of docs/decisions, from the head of each file."""
    rows = []
    for file in sorted((Path(__file__).parent / "decisions").glob("[0-9]*.md")):
        text = file.read_text(encoding="utf-8")
        told = dict(re.findall(r"^- ([\w ]+): (.+)$", text, re.M))
        title = text.partition("\n")[0].removeprefix("# ")[5:]
        rows.append((f"[{file.name[:4]}]({file.name})", title, told["Status"], told["Date"]))
    return table(("no.", "decision", "status", "date"), rows)
