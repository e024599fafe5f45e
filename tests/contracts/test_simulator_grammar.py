"""The pretend services by themselves: known answers, check digits, and whom they may not ask."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import pytest

import idp.verify.simulated as shared
import idp.verify.spapi.simulator as successor
import idp.verify.twfido.simulator as first
from idp.verify.simulated.numbers import valid_pid
from idp.verify.twfido.simulator.checksum import checksum, encrypt
from idp.verify.twfido.simulator.grammar import months_later, parse_day
from idp.verify.twfido.simulator.personas import PERSONAS

KEY = "59C55AAD2AEADF8A87EC55317CA148E7"  # published on the ministry's own slide
SYSCODE = "20190326031900012556"
QRID = "85cf3c68-bb09-4330-ae18-f72c204fbb17"


def test_slide_known_answer() -> None:
    """All forty bytes of the only example that the ministry's slide attests are reproduced."""
    text = "202008201009512692302020074523215"
    whole = "AD451F34317CC748C362CAC288B6C73D02576F018CE784194F41FED57A3E340A28285ABE1F203D56"
    assert whole == encrypt(KEY, text).hex().upper()


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["20200820100951269230", "2020074523215"], "28285ABE1F203D56"),
        ([SYSCODE, "20200801000000"], "CABF4E0DE14CD99E"),
        (["A123456789", SYSCODE, "20200801000000"], "7B5B8585EE9B4E30"),
        ([QRID, SYSCODE, "20200801000000"], "33CC7F9854A55851"),
        ([QRID, "20200801000000"], "DFC3687CD68B56EF"),
        (["0000", "20200801000000"], "C30CD62DFBB499A3"),
        (["2001", "20200801000000"], "FC0A40264DB05634"),
        (["A123456789", "0000"], "C21331B4CF083315"),
    ],
)
def test_checksum_known_answers(parts: list[str], expected: str) -> None:
    """The checksum agrees with independently computed vectors for every formula."""
    assert expected == checksum(KEY, *parts)


@pytest.mark.parametrize(
    ("pid", "expected"),
    [(p, True) for p in ("A123456789", "W123456789", "I123456781", "O123456782", "Z123456780")]
    + [(p, True) for p in ("A800000014", "A900207177", "AB23456789", "AC03095424", "CC00151114")]
    + [(p, True) for p in PERSONAS]
    + [(p, False) for p in ("A123456788", "A800000000", "AA00000000", "W123456780", "")]
    + [
        (p, False) for p in ("A12345678", "A1234567890", "a123456789!", "1123456789", "A12345678９")
    ],
)
def test_pid_check_digit(pid: str, expected: bool) -> None:
    """National and resident numbers are known by their check digit; all personas have one."""
    assert expected is valid_pid(pid)


@pytest.mark.parametrize("package", [first, successor, shared], ids=lambda p: p.__name__)
def test_imports_nothing_of_ours(package: ModuleType) -> None:
    """An oracle shares no code with a client: of `idp` it imports itself and what simulators
    share, and that only itself."""
    allowed = (package.__name__, shared.__name__)
    for file in Path(package.__file__ or "").parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module or ""]
            assert all(n.startswith(allowed) for n in names if n.split(".")[0] == "idp"), file


def test_month_ends() -> None:
    """Three months after the end of November is the end of February."""
    november = parse_day("20201130")
    assert november is not None
    assert parse_day("20210228") == months_later(november, 3)
