"""Days and months of the road: Taipei's, at the ends of months and of days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.onboarding.calendar import (
    day_of,
    days_left,
    end_of,
    months_after,
    roc,
    roc_words,
    start_of,
)

DAYS = st.dates(date(1990, 1, 1), date(2200, 12, 31))


@pytest.mark.parametrize(
    ("day", "months", "right"),
    [
        (date(2026, 2, 11), 3, date(2026, 5, 11)),
        (date(2026, 1, 31), 3, date(2026, 4, 30)),
        (date(2026, 11, 30), 3, date(2027, 2, 28)),
        (date(2027, 11, 30), 3, date(2028, 2, 29)),
        (date(2028, 2, 29), 12, date(2029, 2, 28)),
        (date(2026, 10, 31), 3, date(2027, 1, 31)),
        (date(2026, 12, 31), 2, date(2027, 2, 28)),
    ],
)
def test_a_month_later_is_the_same_day_or_the_months_last(
    day: date, months: int, right: date
) -> None:
    assert months_after(day, months) == right


@given(DAYS, st.integers(0, 60))
def test_months_never_skip_one(day: date, months: int) -> None:
    after = months_after(day, months)
    assert (after.year - day.year) * 12 + after.month - day.month == months
    assert after.day <= day.day


@given(DAYS)
def test_a_day_begins_at_midnight_in_taipei(day: date) -> None:
    begin, end = start_of(day), end_of(day)
    assert datetime.fromtimestamp(begin, UTC).hour == 16  # of the day before
    assert end - begin == 86_400
    assert day_of(begin) == day == day_of(end - 1)
    assert day_of(begin - 1) == day - timedelta(days=1)


def test_the_last_day_is_one_day() -> None:
    end = end_of(date(2026, 5, 11))
    assert [days_left(end, now) for now in (end - 86_401, end - 86_400, end - 1, end, end + 1)] == [
        2, 1, 1, 0, 0,
    ]  # fmt: skip


def test_years_of_the_republic() -> None:
    assert roc(date(2026, 2, 11)) == "1150211"
    assert roc(date(2009, 12, 1)) == "0981201"
    assert roc_words(date(2026, 2, 11)) == "中華民國 115 年 2 月 11 日"
