"""The name of a browser in two words, from User-Agent. Anybody can write that header, so only
words of our own list come out."""

from __future__ import annotations

MOST = 400  # characters that are read

# The first token found decides: many browsers also carry the tokens of others.
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
    """“Chrome, Windows”, as far as they are known; "" if neither is."""
    text = user_agent[:MOST]
    found = (
        next((name for word, name in table if word in text), "") for table in (_PROGRAMS, _SYSTEMS)
    )
    return ", ".join(name for name in found if name)
