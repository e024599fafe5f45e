"""Scopes and the claims they release. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from idp.kernel.errors import InvalidScope

# OpenID Connect Core §5.1, §5.4, and the national ID as a scope of its own
CLAIMS: dict[str, tuple[str, ...]] = {
    "openid": ("sub",),
    "profile": (
        *("name", "family_name", "given_name", "middle_name", "nickname", "preferred_username"),
        *("profile", "picture", "website", "gender", "birthdate", "zoneinfo", "locale"),
        *("updated_at", "twid_masked"),
    ),
    "email": ("email",),
    "phone": ("phone_number",),
    "address": ("address",),
    "twid": ("twid",),
    "offline_access": (),
}
# what goes out beside a claim and says whether it was verified (OpenID Connect Core §5.1)
BESIDE = {"email": "email_verified", "phone_number": "phone_number_verified"}
# the scopes whose claims the member directory knows
OF_MEMBERS = frozenset({"profile", "email", "phone", "address"})
_MOST_NAMED = 200  # characters of refused scopes that are told
SCOPE_OF = {claim: scope for scope, claims in CLAIMS.items() for claim in claims}


def known(scopes: Iterable[str], more: Iterable[str]) -> list[str]:
    """In order, once each; unknown ones are ignored (OIDC Core §3.1.2.1)."""
    allowed = set(CLAIMS) | set(more)
    return list(dict.fromkeys(scope for scope in scopes if scope in allowed))


def of_apis(scopes: Iterable[str]) -> tuple[str, ...]:
    """Those of agencies' APIs."""
    return tuple(scope for scope in scopes if scope not in CLAIMS)


def complete(scopes: Collection[str]) -> bool:
    """Whether a login can be for them: with openid, or, without OpenID Connect, for APIs alone."""
    rest = set(scopes) - {"offline_access"}
    return "openid" in rest or (bool(rest) and rest == set(of_apis(rest)))


def within(claims: Mapping[str, Sequence[str]], allowed: Collection[str]) -> dict[str, list[str]]:
    """Of claims asked for one by one those whose scope is allowed."""
    kept = {k: [c for c in names if SCOPE_OF.get(c) in allowed] for k, names in claims.items()}
    return {part: names for part, names in kept.items() if names}


def check(asked: Iterable[str], allowed: Collection[str]) -> None:
    """Raises InvalidScope, which names what the client may not have."""
    refused = [scope for scope in asked if scope not in allowed]
    if refused:
        names = " ".join(refused)[:_MOST_NAMED]
        raise InvalidScope(f"the client may not have the scope: {names}")


def released(scopes: Iterable[str], requested: Iterable[str] = ()) -> tuple[str, ...]:
    """The names of the claims that these scopes (and claims asked for one by one) release."""
    names = [claim for scope in scopes for claim in CLAIMS.get(scope, ())]
    return tuple(dict.fromkeys(name for name in [*names, *requested] if name != "sub"))


def select(
    values: Mapping[str, object], scopes: Iterable[str], requested: Iterable[str] = ()
) -> dict[str, object]:
    """Of all that is known of a person, what these scopes and requested claims release."""
    names = released(scopes, requested)
    names += tuple(beside for claim, beside in BESIDE.items() if claim in names)
    return {name: value for name, value in values.items() if name in names}
