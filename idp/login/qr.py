"""QR codes as inline SVG."""

from __future__ import annotations

import re

import zxingcpp

QUIET = 4  # modules of white around a code (ISO/IEC 18004 §9.1)
_DARK = re.compile(rb"\0+")


def svg(content: str) -> str:
    """A code of error correction level M; ValueError for more than one can hold."""
    code = zxingcpp.create_barcode(content, zxingcpp.BarcodeFormat.QRCode, ec_level="M")
    image = code.to_image(add_quiet_zones=False)
    size, pixels = image.shape[0], bytes(memoryview(image))  # type: ignore[arg-type]  # a buffer
    lines = (
        f"M{run.start()} {row}.5h{len(run[0])}"
        for row in range(size)
        for run in _DARK.finditer(pixels[row * size : (row + 1) * size])
    )
    whole = size + 2 * QUIET
    return (
        f'<svg viewBox="-{QUIET} -{QUIET} {whole} {whole}" shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M-{QUIET}-{QUIET}h{whole}v{whole}h-{whole}z"/>'
        f'<path stroke="#000" d="{"".join(lines)}"/></svg>'
    )
