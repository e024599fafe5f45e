"""The hints of an authorization request: both name a person, so neither is kept as it came."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from idp.kernel import errors
from idp.kernel.forms import Params
from idp.kernel.vault import Vault
from idp.oidc.request import AuthorizationRequest
from idp.oidc.tokens import Tokens
from idp.registry.clients import Client

_SEALED = "login-hint"  # the vault's purpose for a number that a client suggested
_MOST = 256  # characters of a hint that are looked at


class Canonical(Protocol):
    def __call__(self, typed: str, /) -> str | None: ...


class Hints:
    def __init__(self, tokens: Tokens, vault: Vault, canonical: Canonical) -> None:
        self._tokens, self._vault, self._canonical = tokens, vault, canonical

    def noted(
        self, params: Params, client: Client, asked: AuthorizationRequest
    ) -> AuthorizationRequest:
        """Of the token only its subject is kept, and the number is sealed. Raises LoginRequired
        for a token that is not ours for this client: whom it meant we cannot know, and a hint
        never logs anybody in."""
        token_hint, number = params.get("id_token_hint"), params.get("login_hint", "")
        if token_hint:
            subject = self._subject(token_hint, client)
            expected = (*asked.expected_subjects, subject)
            asked = replace(asked, expected_subjects=expected)
        canonical = self._canonical(number[:_MOST]) if number else None
        sealed = self._vault.seal(_SEALED, canonical) if canonical else ""
        return replace(asked, login_hint=sealed)

    def number(self, asked: AuthorizationRequest) -> str:
        """The suggested number, or ""."""
        return self._vault.open_text(_SEALED, asked.login_hint) if asked.login_hint else ""

    def _subject(self, token_hint: str, client: Client) -> str:
        try:
            claims: dict[str, Any] = self._tokens.read_id_token(token_hint)
        except errors.InvalidToken as broken:
            raise errors.LoginRequired(detail=f"id_token_hint: {broken.detail}") from None
        if claims.get("aud") != client.client_id:
            raise errors.LoginRequired(detail="id_token_hint is of another client")
        return str(claims["sub"])
