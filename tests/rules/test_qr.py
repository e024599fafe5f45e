"""What is drawn can be scanned."""

import re

import pytest
import zxingcpp
from hypothesis import example, given
from hypothesis import strategies as st

from idp.login import qr

LINE = re.compile(r"M(\d+) (\d+)\.5h(\d+)")


def scan(drawing: str) -> zxingcpp.Barcode | None:
    """What a phone reads from it: the lines as pixels, four for a module."""
    whole = int(re.findall(r'viewBox="-4 -4 (\d+) (\d+)"', drawing)[0][0])
    rows = [bytearray(b"\xff" * whole) for _ in range(whole)]
    for start, row, length in LINE.findall(drawing):
        at = int(start) + qr.QUIET
        rows[int(row) + qr.QUIET][at : at + int(length)] = bytes(int(length))
    pixels = b"".join(bytes(p for p in row for _ in range(4)) * 4 for row in rows)
    return zxingcpp.read_barcode(memoryview(pixels).cast("B", (4 * whole, 4 * whole)))


@example(
    '{"qrid":"0b5e6b1c-7d3a-4a0e-9b58-2f0d8b6f6a11","sysname":"內政部登入","sysaction":"登入"}'
)
@given(st.text('ABCXYZabcxyz0189:/?=&%.-_+{}",登入內政部', min_size=1, max_size=200))
def test_a_code_reads_as_its_content(content: str) -> None:
    """From one character to far more than TW FidO's words, Chinese and JSON included. None needs
    an ECI header, which not every reader understands."""
    found = scan(qr.svg(content))
    assert found is not None
    assert found.text == content
    assert found.symbology_identifier == "]Q1"


def test_a_code_has_its_white_border() -> None:
    """ISO/IEC 18004: four modules on each side, on white whatever the page's colours."""
    drawing = qr.svg("https://fido.test/q?qrid=1")
    size = max(int(row) for _, row, _ in LINE.findall(drawing)) + 1
    assert f'viewBox="-4 -4 {size + 8} {size + 8}"' in drawing
    assert f'fill="#fff" d="M-4-4h{size + 8}v{size + 8}h-{size + 8}z"' in drawing


def test_too_much_is_refused() -> None:
    """More than a code holds is an error, not half a code."""
    with pytest.raises(ValueError, match="too long"):
        qr.svg("x" * 3000)
