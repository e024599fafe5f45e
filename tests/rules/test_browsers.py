"""A browser in two words: whatever the header says, only words of ours come out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.login.browsers import MOST, browser_of

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15"
KNOWN = {
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36": (
        "Chrome, Windows"
    ),
    f"Mozilla/5.0 (Windows NT 10.0) {WEBKIT} Chrome/140.0 Safari/537.36 Edg/140.0": "Edge, Windows",
    f"{IPHONE} (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1": "Safari, iPhone",
    f"{IPHONE} (KHTML, like Gecko) CriOS/140.0 Mobile/15E148 Safari/604.1": "Chrome, iPhone",
    f"{IPHONE} (KHTML, like Gecko) Mobile/15E148 Safari Line/15.1": "LINE, iPhone",
    f"Mozilla/5.0 (Linux; Android 15) {WEBKIT} SamsungBrowser/28.0 Chrome/130.0 Mobile": (
        "Samsung Internet, Android"
    ),
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0": "Firefox, Linux",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Chrome/140.0": "Chrome, macOS",
    "curl/8.5": "",
    "": "",
}


@pytest.mark.parametrize("agent", KNOWN)
def test_the_usual_ones(agent: str) -> None:
    """What people in Taiwan use is told apart."""
    assert browser_of(agent) == KNOWN[agent]


@given(st.text(max_size=3 * MOST))
def test_nothing_of_the_header_comes_through(agent: str) -> None:
    """However hostile, the answer is short and made of known words."""
    assert len(browser_of(agent)) <= 30
    assert set(browser_of(agent)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz ,")
