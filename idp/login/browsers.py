"""A browser in two words, from a header that anybody can write: only words of ours come out."""

from __future__ import annotations

MOST = 400  # characters that are looked at

# The first mark that is there decides: many browsers also carry the marks of others.
_PROGRAMS = (
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    (" Line/", "LINE"),
    ("FBAN/", "Facebook"),
    ("FBAV/", "Facebook"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
)


def browser_of(user_agent: str) -> str:
    """“Chrome, Windows”, as far as it can be told; "" for what is not known."""
    text = user_agent[:MOST]
    found = (
        next((name for mark, name in table if mark in text), "") for table in (_PROGRAMS, _SYSTEMS)
    )
    return ", ".join(name for name in found if name)
