"""For which resources a token is (RFC 8707). Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from idp.kernel.errors import InvalidTarget


def chosen(asked: Collection[str], allowed: Iterable[str]) -> tuple[str, ...]:
    """Those that were asked for, in the order in which they are registered. Raises InvalidTarget
    if one is not among the allowed (§2)."""
    allowed = tuple(dict.fromkeys(allowed))
    if not set(asked) <= set(allowed):
        raise InvalidTarget
    return tuple(name for name in allowed if name in asked)


def own_of(registered: Iterable[str], issuer: str) -> tuple[str, ...]:
    """A client's own resources: never the bridge, which all tokens of persons are for."""
    return tuple(name for name in registered if not same_resource(name, issuer))


def same_resource(one: str, other: str) -> bool:
    """Whether readers may take one for the other: as URIs, but for a slash at the end."""
    return one.rstrip("/").lower() == other.rstrip("/").lower()


def of_program(asked: Collection[str], own: tuple[str, ...]) -> tuple[str, ...]:
    """Some of the client's own, or all of them."""
    return chosen(asked, own) if asked else own


def of_person(
    asked: Collection[str], granted: tuple[str, ...], own: tuple[str, ...], issuer: str
) -> tuple[str, ...]:
    """Of a person's token. Whoever names resources at the token endpoint gets a token for these
    alone, so that an API cannot use it at UserInfo (§2.2: some of those of the grant; if it has
    none, of the client's own). Whoever names none gets one for UserInfo and what was granted."""
    live = tuple(name for name in granted if name in (*own, issuer))
    if asked:
        return chosen(asked, (issuer, *(live if granted else own)))
    return tuple(dict.fromkeys((issuer, *live)))


def names(audience: object) -> tuple[object, ...]:
    """Of the claim `aud`, which is a text or a list of them (RFC 7519 §4.1.3)."""
    return tuple(audience) if isinstance(audience, list) else (audience,)
