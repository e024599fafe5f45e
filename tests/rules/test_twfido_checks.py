"""What `idp doctor` says of TW FidO's settings."""

from __future__ import annotations

from tests.rules.twfido_upstream import Upstream, verifier

AWAY = Upstream(lambda *_: {})
GIVEN = {name: f"/api/{name}" for name in (
    "fweb_01", "ctap_01", "fexch_01", "fath_01", "fath_02", "reg_01", "que_01", "que_02",
)}  # fmt: skip


async def paths(production: bool, **given: str) -> list[tuple[str, str, str]]:
    checks = await verifier(AWAY, paths=given).checks(production=production)
    return [(c.result, c.seen, c.remedy) for c in checks if c.what == "twfido paths"]


async def test_placeholders_are_wrong_in_production() -> None:
    """The slides print no paths. Each that still has our placeholder is named by its setting."""
    ((result, seen, remedy),) = await paths(True)
    assert result == "warn"
    assert all(f"twfido.paths.{name}" in seen for name in GIVEN)
    assert remedy
    ((result, seen, _),) = await paths(True, **{**GIVEN, "que_02": "/rp-api-que-02"})
    assert (result, seen) == ("warn", "still placeholders: twfido.paths.que_02")


async def test_paths_that_are_set_are_well() -> None:
    """So are placeholders where the simulator answers."""
    assert [result for result, _, _ in await paths(True, **GIVEN)] == ["ok"]
    assert await paths(False) == []
