"""What `idp member …` and `idp wecard …` do; idp.cli gives them arguments and prints the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from idp.kernel.services import Services
from idp.members import record, tencent
from idp.members.directory import Directory, Member, Report
from idp.members.passwords import hash_password
from idp.members.sheet import Canonical

__all__ = ["call", "hash_password", "import_members", "list_members", "show_member"]

call = tencent.call


async def import_members(
    services: Services,
    file: Path,
    canonical: Canonical,
    *,
    dry_run: bool = False,
    skip_rejected: bool = False,
) -> Report:
    """Raises SheetRefused, OSError. Nothing is written if a line is rejected, unless those are to
    be skipped."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return await Directory(services).take_in(
            lines, canonical, dry_run=dry_run, skip_rejected=skip_rejected
        )


async def list_members(services: Services, after: str = "") -> list[dict[str, Any]]:
    """A hundred a page; `after` is the last card number of the page before."""
    directory = Directory(services)
    return [_brief(directory, m, services.clock.now()) for m in await directory.page(after)]


async def show_member(services: Services, card_number: str) -> dict[str, Any] | None:
    """Everything but the national ID and the password."""
    directory = Directory(services)
    card = record.canonical_card(card_number)
    member = await directory.by_card(services.database, card)
    if member is None:
        return None
    brief = _brief(directory, member, services.clock.now())
    return {**brief, "password": bool(member.password_hash), **directory.record(member)}


def _brief(directory: Directory, member: Member, now: int) -> dict[str, Any]:
    opened = directory.record(member)
    moments = {"valid_from": member.valid_from, "valid_until": member.valid_until}
    return {
        "card_number": opened["card_number"],
        "name": record.mask_name(opened["name"]),
        "organization": opened["organization"],
        "valid": member.valid(now),
        "linked": member.person is not None,
        **{k: record.show_time(v) if v is not None else None for k, v in moments.items()},
    }
