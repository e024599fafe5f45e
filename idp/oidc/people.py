"""What we can say of a person to a relying party: the verified number, and the directory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from idp.kernel.services import Services
from idp.oidc import scopes
from idp.oidc.world import Grant


class Directory(Protocol):
    async def profile_of(self, number_index: str) -> Mapping[str, object]:
        """OpenID's claims of the member who is this person; empty if there is none."""
        ...


class Mask(Protocol):
    def __call__(self, number: str, /) -> str: ...


class People:
    def __init__(self, services: Services, directory: Directory, mask: Mask) -> None:
        self._services, self._directory, self._mask = services, directory, mask

    async def claims(
        self,
        number_index: str,
        number_sealed: str,
        granted: Iterable[str],
        singly: Iterable[str] = (),
    ) -> dict[str, object]:
        """The values that the granted scopes and singly asked claims release (without sub)."""
        granted, singly = tuple(granted), tuple(singly)
        values: dict[str, object] = {}
        if {"profile", "email", "phone"} & set(granted) or singly:
            values.update(await self._directory.profile_of(number_index))
        if {"profile", "twid"} & set(granted) or singly:
            number = self._services.vault.open_text("person", number_sealed)
            values.update(twid=number, twid_masked=self._mask(number))
        return scopes.select(values, granted, singly)

    async def signed(self, grant: Grant) -> dict[str, object]:
        """For the ID token: the verified number if it was granted, and what was asked for there
        singly. Everything else is at userinfo (OIDC Core §5.4)."""
        singly = set(grant.claims.get("id_token", ()))
        if "twid" in grant.scope:
            singly.add("twid")
        if not singly:
            return {}
        return await self.claims(grant.number_index, grant.number_sealed, (), singly)
