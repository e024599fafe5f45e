"""What is drawn can be scanned."""

import re

import pytest
import zxingcpp
from hypothesis import given
from hypothesis import strategies as st

from idp.login import qr

LINE = re.compile(r"M(\d+) (\d+)\.5h(\d+)")


def scanned(drawing: str) -> str:
    """What a phone reads from it: the lines as pixels, four for a module."""
    whole = int(re.findall(r'viewBox="-4 -4 (\d+) (\d+)"', drawing)[0][0])
    rows = [bytearray(b"\xff" * whole) for _ in range(whole)]
    for start, row, length in LINE.findall(drawing):
        at = int(start) + qr.QUIET
        rows[int(row) + qr.QUIET][at : at + int(length)] = bytes(int(length))
    pixels = b"".join(bytes(p for p in row for _ in range(4)) * 4 for row in rows)
    found = zxingcpp.read_barcode(memoryview(pixels).cast("B", (4 * whole, 4 * whole)))
    return found.text if found else ""


@given(st.text("ABCXYZabcxyz0189:/?=&%.-_+", min_size=1, max_size=300))
def test_a_code_reads_as_its_content(content: str) -> None:
    """From one character to far more than any TW FidO address."""
    assert scanned(qr.svg(content)) == content


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
