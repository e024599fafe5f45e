"""`idp twfido …`: Taipei's calendar, whatever the server's."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from idp.cli.common import Stop
from idp.cli.twfido import days

# 00:55 on the 26th in Taipei
NIGHT = datetime(2026, 11, 25, 16, 55, tzinfo=UTC)


def test_today_is_taipeis() -> None:
    """On a server that counts in UTC the ministry's day has already begun at four in the
    afternoon."""
    assert days("", "", NIGHT) == (date(2026, 10, 27), date(2026, 11, 26))
    assert days("", "2026-11-20", NIGHT) == (date(2026, 10, 21), date(2026, 11, 20))
    assert days("2026-11-01", "", NIGHT) == (date(2026, 11, 1), date(2026, 11, 26))


@pytest.mark.parametrize("typed", ["26.11.2026", "2026-11-31", "today"])
def test_days_that_are_none(typed: str) -> None:
    """Told in a line."""
    with pytest.raises(Stop, match="YYYY-MM-DD"):
        days(typed, "", NIGHT)
