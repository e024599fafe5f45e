"""Days and months as the papers count them: in Taipei, where every day has 24 hours since 1980.

Times are UTC seconds; a day is a `datetime.date` in Taipei.
"""

from __future__ import annotations

import calendar
from datetime import date, datetime, time, timedelta, timezone

TAIPEI = timezone(timedelta(hours=8), "Asia/Taipei")
DAY = 86_400
FIRST_ROC_YEAR = 1911  # year 1 of the Republic is 1912


def day_of(at: int) -> date:
    return datetime.fromtimestamp(at, TAIPEI).date()


def start_of(day: date) -> int:
    """The first second of a day in Taipei."""
    return int(datetime.combine(day, time(), TAIPEI).timestamp())


def end_of(day: date) -> int:
    """The first second after a day: what lasts until a day lasts through it."""
    return start_of(day + timedelta(days=1))


def months_after(day: date, months: int) -> date:
    """The same day of a later month, or that month's last one."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    month += 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def days_left(until: int, now: int) -> int:
    """Whole days and the one that runs: 1 on the last day, 0 when it is over."""
    return max(0, -((now - until) // DAY))


def roc(day: date) -> str:
    """1150211 for 11 February 2026, as numbers of cases hold it."""
    return f"{day.year - FIRST_ROC_YEAR:03}{day.month:02}{day.day:02}"


def roc_words(day: date) -> str:
    """As forms write it."""
    return f"中華民國 {day.year - FIRST_ROC_YEAR} 年 {day.month} 月 {day.day} 日"
