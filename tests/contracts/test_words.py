"""The words of a scheme stay with the scheme: no other room knows which schemes there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = re.compile(
    r"TW ?FidO|syscode|tranSeq|chksum|qrid|FIDO|twfido|moi\.gov\.tw|行動自然人憑證"
    r"|spapi|sp_ticket|sp_service|hashed_id_num|sp_checksum|idp_checksum",
    re.I,
)
# the scheme itself; what puts schemes together; what plays a scheme for people who try things out
ALLOWED = (
    "idp/verify/",
    "idp/cli/spapi.py",  # the schemes' own commands
    "idp/cli/twfido.py",
    "idp/cli/__init__.py",  # mounts them
    "idp/cli/run.py",  # `idp simulate`, `idp dev`
    "idp/samples.py",  # pages drawn with the scheme's own content
    "idp/dev.py",
    "idp/house.py",
    "idp/settings.py",
    "idp/kernel/migrations/versions/",  # what was, under the names that it had
    "templates/demo/",  # an agency's page, which links to levels and to the simulator
)
# names that are agreed with the outside, or that no later version may change
KEPT = {
    "idp/kernel/vault.py": {"twfido-idp"},  # salt of every key that is derived
    "templates/login/choose.html": {"pid"},  # element id and form field, documented as stable
}


def sources() -> list[str]:
    files = [*(ROOT / "idp").rglob("*.py"), *(ROOT / "templates").rglob("*.html")]
    return sorted(str(file.relative_to(ROOT)) for file in files)


@pytest.mark.parametrize("file", [f for f in sources() if not f.startswith(ALLOWED)])
def test_no_room_names_a_schemes_words(file: str) -> None:
    """Errors, tables, metrics, pages, registry and commands speak of schemes and upstreams."""
    text = (ROOT / file).read_text(encoding="utf-8")
    for kept in KEPT.get(file, ()):
        assert kept in text, f"{kept} is kept for nothing"
        text = text.replace(kept, "")
    assert WORDS.findall(text) == []


@pytest.mark.parametrize("allowed", ALLOWED)
def test_every_exception_is_needed(allowed: str) -> None:
    """An exception for a file that says nothing of a scheme is taken away."""
    texts = [(ROOT / f).read_text(encoding="utf-8") for f in sources() if f.startswith(allowed)]
    assert any(WORDS.search(text) for text in texts)
