"""What scopes and requested claims release, whatever is combined (OIDC Core §5.4, §5.5)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from idp.oidc import scopes

APIS = ("api:read", "api:write")
SCOPES = st.lists(st.sampled_from([*scopes.CLAIMS, *APIS]), unique=True).map(tuple)
CLAIMS = sorted(scopes.SCOPE_OF)
ASKED = st.dictionaries(
    st.sampled_from(["userinfo", "id_token"]),
    st.lists(st.sampled_from([*CLAIMS, "moon"]), unique=True, max_size=6),
)
VALUES = {name: f"of {name}" for name in [*CLAIMS, *scopes.BESIDE.values()]}


@given(SCOPES, SCOPES, ASKED)
def test_nothing_without_a_scope_that_is_allowed(
    granted: tuple[str, ...], may: tuple[str, ...], asked: dict[str, list[str]]
) -> None:
    """Every value that goes out belongs to a scope that was granted, or is a claim that was asked
    for by name and whose scope the client may have; or tells whether such a one was verified."""
    kept = scopes.within(asked, may)
    named = [name for names in kept.values() for name in names]
    assert all(scopes.SCOPE_OF[name] in may for name in named)
    out = scopes.select(VALUES, granted, named)
    told = {name for name in out if name not in scopes.BESIDE.values()}
    assert told == {n for n in CLAIMS if scopes.SCOPE_OF[n] in granted or n in named} - {"sub"}
    for claim, beside in scopes.BESIDE.items():
        assert (beside in out) == (claim in out)


@given(SCOPES, SCOPES)
def test_less_is_granted_less_goes_out(one: tuple[str, ...], more: tuple[str, ...]) -> None:
    """Adding a scope takes nothing away, and a scope of an API releases nothing."""
    assert set(scopes.select(VALUES, one)) <= set(scopes.select(VALUES, (*one, *more)))
    assert scopes.select(VALUES, APIS) == {}


@given(SCOPES)
def test_what_a_login_can_be_for(asked: tuple[str, ...]) -> None:
    """Claims need openid; without it there are APIs, and nothing else."""
    if scopes.complete(asked):
        assert "openid" in asked or (
            not scopes.released(asked) and set(scopes.of_apis(asked)) & set(APIS)
        )
    else:
        assert "openid" not in asked


@given(st.lists(st.sampled_from([*scopes.CLAIMS, *APIS, "moon", ""]), max_size=12))
def test_unknown_ones_are_ignored(asked: list[str]) -> None:
    """In the order of the request, once each."""
    found = scopes.known(asked, APIS)
    assert found == list(dict.fromkeys(found))
    assert set(found) == set(asked) - {"moon", ""}
