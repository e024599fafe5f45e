"""An applicant, officers, and what they write: the road as tests walk it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from idp.onboarding.calendar import day_of, start_of
from idp.onboarding.cases import Cases
from idp.onboarding.store import Found
from idp.onboarding.workflow import Actor, Kind, Move, Role, State
from tests.house import TestHouse

EMAIL = "ann@library.gov.tw"
ANN = Actor(Role.APPLICANT, "ann")
RITA, OTTO = Actor(Role.REVIEWER, "rita"), Actor(Role.REVIEWER, "otto")
OLGA = Actor(Role.OPERATOR, "olga")
REMARKS = {"system.description": "請說明用途", "": "請補件"}
LETTER = {"number": "圖資字第1150000001號", "day": "2026-11-01"}

ORGANISATION = {
    "name": "國家圖書館", "name_en": "National Library", "unit": "資訊室", "kind": "政府機關",
    "address": "臺北市中山南路20號",
}  # fmt: skip
CONTACTS = {
    f"{who}_{what}": value
    for who in ("contact", "deputy", "head")
    for what, value in (
        ("name", "王小明"), ("phone", "02-2361-9132 #901"), ("email", f"{who}@library.gov.tw")
    )
}  # fmt: skip
SYSTEM = {
    "name": "借書證", "name_en": "Library card", "description": "借書與預約",
    "served": ["一般民眾"],
    "means": ["會員管理", "健保卡"], "peak_months": ["3", "9"], "volume_average": "1~10萬",
    "volume_peak": "11~20萬", "security": "中", "planned": "2027-06-01",
}  # fmt: skip
PROTOCOL = {
    "redirect_uris": "https://test.library.gov.tw/cb\nhttps://test.library.gov.tw/cb2",
    "post_logout_redirect_uris": "https://test.library.gov.tw/out",
    "scopes": "openid 登入\nprofile 顯示姓名",
    "client_uri": "https://library.gov.tw/", "policy_uri": "https://library.gov.tw/privacy",
}  # fmt: skip
DATASET = {
    "name": "館藏", "category": "圖書", "resource": "https://api.library.gov.tw/holdings",
    "parameters": "isbn｜書號｜13 碼｜9789570000000｜選填\nq | 關鍵字",
}  # fmt: skip
FORMS: dict[str, dict[str, Any]] = {
    "organisation": ORGANISATION, "contacts": CONTACTS, "system": SYSTEM, "protocol": PROTOCOL,
    "dataset": DATASET,
}  # fmt: skip
REPORT = {"summary": "試辦一個月，無異常"}
EXTENSION = {"reason": "介接廠商更換"}


def go_live(now: int, days: int = 60, **more: Any) -> dict[str, Any]:
    found = {
        "planned": (day_of(now) + timedelta(days=days)).isoformat(),
        "redirect_uris": "https://library.gov.tw/cb",
        "networks": "203.0.113.0/24\n2001:db8::/64",
        "checklist": "state、nonce、PKCE 皆已測試",
    }
    return found | more


class Road:
    """The road of one house."""

    def __init__(self, house: TestHouse) -> None:
        self.house = house
        self.cases: Cases = house.house.cases

    @property
    def now(self) -> int:
        return self.house.clock.now()

    async def draft(self, kind: Kind = Kind.SERVICE, **changes: dict[str, Any]) -> Found:
        found = await self.cases.open(kind, EMAIL, ANN)
        return await self.fill(found, **changes)

    async def fill(self, found: Found, **changes: dict[str, Any]) -> Found:
        last = "dataset" if found.case.kind is Kind.DATA else "protocol"
        for step in ("organisation", "contacts", "system", last):
            fields = FORMS[step] | changes.get(step, {})
            found = await self.cases.save(found.case.number, step, fields, ANN)
        return found

    async def go(self, found: Found, move: Move, actor: Actor, given: Any = None) -> Found:
        return await self.cases.move(found.case.number, move, actor, given)

    async def to(self, state: State, kind: Kind = Kind.SERVICE) -> Found:
        """A case in a state of the straight way."""
        found = await self.draft(kind)
        for move, actor, given in (
            (Move.SUBMIT, ANN, None),
            (Move.APPROVE, RITA, None),
            (Move.APPROVE, OLGA, LETTER),
            (Move.REQUEST_GO_LIVE, ANN, go_live(self.now)),
            (Move.APPROVE, RITA, None),
            (Move.APPROVE, OLGA, LETTER),
            (Move.SUBMIT_REPORT, ANN, REPORT),
            (Move.APPROVE, OTTO, None),
        ):
            if found.case.state is state:
                return found
            found = await self.go(found, move, actor, given)
        if found.case.state is not state:
            await self.wait_for(found.case.planned)
            found = await self.again(found)
        return found

    async def wait_for(self, day: date | None) -> None:
        assert day is not None
        await self.wait(start_of(day) - self.now)

    async def wait(self, seconds: int) -> None:
        self.house.clock.pass_(seconds)
        await self.cases.look()

    async def again(self, found: Found) -> Found:
        return await self.cases.find(found.case.number)

    async def client(self, client_id: str) -> Any:
        return await self.house.house.clients.find(client_id)
