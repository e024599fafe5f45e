"""What we can say of a person to a relying party: the verified number, and the directory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from idp.kernel.vault import Vault
from idp.oidc import scopes
from idp.oidc.preload import Grant
from idp.registry.clients import Client


class Profiles(Protocol):
    async def profile_of(self, number_index: str) -> Mapping[str, object]:
        """OpenID's claims of the member who is this person; empty if there is none."""
        ...


class Mask(Protocol):
    def __call__(self, number: str, /) -> str: ...


class People:
    def __init__(self, vault: Vault, profiles: Profiles, mask: Mask) -> None:
        self._vault, self._profiles, self._mask = vault, profiles, mask

    async def claims(
        self,
        number_index: str,
        number_sealed: str,
        granted: Iterable[str],
        requested: Iterable[str] = (),
    ) -> dict[str, object]:
        """The values that the granted scopes and the requested claims release (without sub)."""
        granted, requested = tuple(granted), tuple(requested)
        values: dict[str, object] = {}
        if scopes.OF_MEMBERS & set(granted) or requested:
            values.update(await self._profiles.profile_of(number_index))
        if {"profile", "twid"} & set(granted) or requested:
            number = self._vault.open_text("person", number_sealed)
            values.update(twid=number, twid_masked=self._mask(number))
        return scopes.select(values, granted, requested)

    async def signed(self, client: Client, grant: Grant) -> dict[str, object]:
        """For the ID token: the verified number if it was granted, and what was requested there.
        Everything else is at userinfo (OIDC Core §5.4), and in the ID token too of a client that
        is registered so."""
        requested = set(grant.claims.get("id_token", ()))
        granted = grant.scope if client.metadata.claims_in_id_token else ()
        if "twid" in grant.scope:
            requested.add("twid")
        if not requested and not granted:
            return {}
        return await self.claims(grant.number_index, grant.number_sealed, granted, requested)
