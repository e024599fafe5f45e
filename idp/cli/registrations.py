"""Registrations as operators write them: options of a command, members of a file.

Both are made from the members of `Registration`, so that names, defaults and help have one source.
"""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from idp.cli.common import Stop
from idp.oidc.audience import own_of
from idp.oidc.scopes import CLAIMS
from idp.registry.registration import Registration
from idp.settings import Settings

Command = TypeVar("Command", bound=Callable[..., None])

# options that are not called like their member; a list is given one by one
OPTIONS = {
    "client_name": "name",
    "client_name_en": "name_en",
    "redirect_uris": "redirect_uri",
    "post_logout_redirect_uris": "post_logout_redirect_uri",
    "grant_types": "grant",
    "scopes": "scope",
    "response_modes": "response_mode",
    "token_endpoint_auth_method": "auth_method",
    "access_token_seconds": "token_seconds",
    "schemes": "scheme",
    "methods": "method",
    "roles": "role",
}
KINDS: dict[type, Any] = {tuple: list[str], bool: bool, int: int, dict: Path}


def with_members(command: Command) -> Command:
    """Gives a command an option for each member. What was given comes as keywords: read it with
    `members_in`."""
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    made = [_option(member) for member in Registration.model_fields]
    command.__signature__ = signature.replace(parameters=[*own, *made])  # type: ignore[attr-defined]
    return command


def _option(member: str) -> inspect.Parameter:
    name, field = OPTIONS.get(member, member), Registration.model_fields[member]
    kind: Any = KINDS.get(_kind(member), str)
    negative = field.default is True  # a flag that is on can only be turned off
    option = typer.Option(
        f"--{'no-' if negative else ''}{name.replace('_', '-')}",
        help=f"turn off: {field.description}" if negative else field.description,
        show_default=_default(field.default),
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=... if field.is_required() else None,
        annotation=Annotated[kind if field.is_required() else kind | None, option],
    )


def _default(value: Any) -> str | bool:
    """What the help shows; nothing where nothing or a rule is the default."""
    return value if isinstance(value, str) and value else False


def _kind(member: str) -> type:
    """tuple, bool, int, dict or str: of the default, or of the annotation where that is None."""
    field = Registration.model_fields[member]
    if field.default is not None:
        return type(field.default)
    text = str(field.annotation)
    return next((kind for kind in (int, dict) if kind.__name__ in text), str)


def members_in(given: Mapping[str, Any]) -> dict[str, Any]:
    """The members that the options name; what was left out is left out here."""
    found = {name: given.get(OPTIONS.get(name, name)) for name in Registration.model_fields}
    return {name: _value(name, v) for name, v in found.items() if v is not None and v != []}


def _value(member: str, value: Any) -> Any:
    """A repeated option may hold a spaced list each time; a file holds JSON."""
    if isinstance(value, bool):
        return Registration.model_fields[member].default is not value
    if isinstance(value, list):
        return tuple(word for text in value for word in text.split())
    if isinstance(value, Path):
        return json.loads(value.read_text(encoding="utf-8"))
    return value


def checked(fields: Any, settings: Settings, client_id: str = "") -> Registration:
    """Raises Stop with every fault, each with the client that it is of."""
    try:
        found = Registration.model_validate(fields)
    except ValidationError as broken:
        faults = [text for fault in broken.errors() for text in _faults(fault)]
        raise Stop(_of(client_id, faults)) from None
    if faults := [*_foreign(found, settings)]:
        raise Stop(_of(client_id, faults))
    return found


def _foreign(found: Registration, settings: Settings) -> Iterator[str]:
    """What this bridge cannot give to any client."""
    known = (*CLAIMS, *settings.oidc.scopes)
    unknown = [f"{scope}{_near(scope, known)}" for scope in found.scopes if scope not in known]
    if unknown:
        yield f"scopes: not in the setting oidc.scopes: {', '.join(unknown)}"
    if len(own_of(found.audience, settings.issuer)) < len(found.audience):
        yield f"audience: {settings.issuer} is this bridge; name the client's own resources"


def _of(client_id: str, faults: Iterable[str]) -> str:
    return "\n".join(f"client {client_id}: {fault}" if client_id else fault for fault in faults)


def _faults(fault: Any) -> Iterator[str]:
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        yield f"{where}: no such member{_near(where, Registration.model_fields)}"
    elif where:
        yield f"{where}: {fault['msg'].removeprefix('Value error, ')}"
    else:
        yield from fault["msg"].removeprefix("Value error, ").split("; ")


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
