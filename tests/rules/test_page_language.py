"""Which language a page has, and where its language links lead."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from idp.kernel.caller import Caller
from idp.kernel.settings import BrandSettings
from idp.kernel.templates import Templates

TEMPLATES = Templates(BrandSettings())


def request(path: str = "/x", accept: str = "", **more: Any) -> Request:
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"accept-language", accept.encode())] if accept else [],
        "state": {"caller": Caller("203.0.113.7", "REFERENCE"), "https": True},
    }
    return Request(scope | more)


WEIGHTS = [
    ("en;q=0.1,zh;q=0.9", "zh-TW"),
    ("zh;q=0.1,en;q=0.9", "en"),
    ("en;q=0.5, zh", "zh-TW"),
    ("en, zh", "en"),
    ("zh-CN;q=0.3,en-US;q=0.8,fr", "en"),
    ("EN ; Q=1.000 , zh;q=0.999", "en"),
    ("en;q=0, ja", "zh-TW"),
    ("en;q=0", "zh-TW"),
    ("en;q=2", "zh-TW"),
    ("en;q=x,zh;q=0.1", "zh-TW"),
    ("en;q=-1", "zh-TW"),
    ("en;q=0.1234", "zh-TW"),
    ("*", "zh-TW"),
    (";;;,,,q=", "zh-TW"),
    ("en;q=\u0660.9", "zh-TW"),
    ("fr," * 5000 + "en", "zh-TW"),
    ("", "zh-TW"),
]


@pytest.mark.parametrize(("accept", "language"), WEIGHTS)
def test_weights_count(accept: str, language: str) -> None:
    """RFC 9110 §12.5.4: the heaviest range that there are pages for; of equal ones the first. A
    weight that is none refuses its range, and nothing crashes."""
    assert TEMPLATES.language(request(accept=accept)) == language


OTHER_HOSTS = ["//evil.test/x", "///evil.test", "//evil.test", "//evil.test/../x", "//"]
QUOTED = ["/\\evil.test/x", "/\t/evil.test", "/?lang=en", "/圖書館", '/"><b>', "/%2F/evil.test"]


def missing(path: str) -> Response:
    return TEMPLATES.page(request(path), "account/left.html", status=404, start="/x", done="")


@pytest.mark.parametrize("path", OTHER_HOSTS)
def test_no_page_links_to_another_host(path: str) -> None:
    """A path that begins with two slashes is an address of somebody else (RFC 3986 §4.2)."""
    html = bytes(missing(path).body).decode()
    assert "evil.test" not in html
    assert 'href="//' not in html


@pytest.mark.parametrize("path", QUOTED)
def test_a_path_is_quoted(path: str) -> None:
    """What a browser would read otherwise than we do is written so that it cannot."""
    html = bytes(missing(path).body).decode()
    links = [part.split('"')[0] for part in html.split('href="')[1:] if "lang=" in part]
    assert links
    for link in links:
        assert link.startswith("/") and link[1] not in "/\\\t"
        assert link.isascii()
        assert link.count("?") == 1
