"""Settings of the login: how long, how often, by which methods."""

from __future__ import annotations

from pydantic import Field

from idp.kernel.settings import Section
from idp.login.session import SessionSettings


class PushBudget(Section):
    """A push rings somebody's phone, and anybody can type anybody's number."""

    per_ten_minutes: int = Field(3, ge=1, description="pushes to one person in 10 minutes")
    per_day: int = Field(10, ge=1, description="pushes to one person in a day")
    pause_after_denial: int = Field(
        900, ge=0, description="seconds without pushes after the person pressed reject"
    )
    per_address: int = Field(20, ge=1, description="pushes from one address in 10 minutes")


class LoginSettings(Section):
    schemes: tuple[str, ...] = Field(
        (),
        description="schemes whose methods are offered, the preferred first; empty: all that are"
        " configured",
    )
    transaction_seconds: int = Field(
        1800, ge=300, description="a login may take so long in all, with every new try"
    )
    attempts: int = Field(10, ge=1, description="verifications in one login")
    ask_seconds: int = Field(
        3, ge=1, description="the upstream is asked at most this often about one attempt"
    )
    asks_per_second: int = Field(
        50, ge=1, description="questions to the upstream per second, all logins of a worker"
    )
    history_days: int = Field(
        180, ge=1, description="days that a person can see where their identity was used"
    )
    starts_per_minute: int = Field(30, ge=1, description="logins started from one address")
    failed_starts: int = Field(
        10, ge=1, description="starts from one address in 10 minutes that the upstream refused"
    )
    numbered_starts: int = Field(
        30,
        ge=1,
        description="starts from one address in 10 minutes that carry a number, whatever their"
        " outcome",
    )
    unfinished_starts: int = Field(
        300,
        ge=1,
        description="starts from one network (IPv6 /48, IPv4 /24) in 10 minutes that carry a number"
        " and after which nobody was logged in",
    )
    numbers: int = Field(3, ge=1, description="different numbers that are tried in one login")
    push: PushBudget = PushBudget()
    session: SessionSettings = SessionSettings()
