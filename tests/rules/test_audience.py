"""For which resources a token is (RFC 8707)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.kernel.errors import InvalidTarget
from idp.oidc.audience import chosen, names, of_person, of_program

US = "https://id.test"
NAMES = st.sampled_from([f"https://{name}.test" for name in "abcd"])
FEW = st.lists(NAMES, unique=True, max_size=4).map(tuple)
ASKED = st.sets(st.one_of(NAMES, st.just(US)), max_size=3)


@given(ASKED, FEW, FEW)
def test_never_more_than_was_granted(
    asked: set[str], granted: tuple[str, ...], own: tuple[str, ...]
) -> None:
    """A person's token is for what the grant or, if it names nothing, the client has: never for
    more, never for what an operator has taken since, and never for nothing."""
    may = {US, *((set(granted) & set(own)) if granted else own)}
    try:
        found = of_person(asked, granted, own, US)
    except InvalidTarget:
        assert not asked <= may
        return
    assert asked <= may
    assert found
    assert set(found) <= may
    assert len(set(found)) == len(found)


@given(ASKED.filter(bool), FEW, FEW)
def test_who_names_resources_gets_exactly_these(
    asked: set[str], granted: tuple[str, ...], own: tuple[str, ...]
) -> None:
    """An API's token is no token for UserInfo, unless that was named too."""
    try:
        assert set(of_person(asked, granted, own, US)) == asked
    except InvalidTarget:
        return


@given(FEW, FEW)
def test_who_names_none_gets_userinfo(granted: tuple[str, ...], own: tuple[str, ...]) -> None:
    """Without `resource` a person's token is for UserInfo, and for what was granted."""
    assert set(of_person((), granted, own, US)) == {US, *(set(granted) & set(own))}


@given(ASKED, FEW)
def test_a_program(asked: set[str], own: tuple[str, ...]) -> None:
    """Some of its own, or all of them."""
    try:
        assert set(of_program(asked, own)) == (asked or set(own))
    except InvalidTarget:
        assert not asked <= set(own)


@pytest.mark.parametrize("near", ["https://a.test/", "https://A.test", "https://a.test#", ""])
def test_an_almost_equal_name(near: str) -> None:
    """Resources are compared character by character (RFC 3986 §6.2.1)."""
    with pytest.raises(InvalidTarget):
        chosen([near], ["https://a.test"])


def test_the_claim() -> None:
    """RFC 7519 §4.1.3: one text, or a list."""
    assert names("a") == ("a",)
    assert names(["a", "b"]) == ("a", "b")
    assert names(None) == (None,)
