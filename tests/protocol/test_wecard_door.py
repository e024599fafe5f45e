"""The WeCard callback: who may ask at all (WC-14, WC-16)."""

from __future__ import annotations

from typing import Any

import pytest

from idp.members import envelope
from idp.members.settings import MembersSettings
from tests.wecard import (
    ELSEWHERE,
    PATHS,
    PROXY,
    TENCENT,
    Organisation,
    application,
    body,
    card_database,
    found,
    organisation,
)

__all__ = ["card_database", "found", "organisation"]


@pytest.fixture
def unopened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was decrypted meanwhile."""
    opened: list[str] = []

    def watched(raw_data: str, key: bytes, iv: bytes) -> tuple[bytes, envelope.Form]:
        opened.append(raw_data)
        raise envelope.Unreadable("not now")

    monkeypatch.setattr(envelope, "decrypt", watched)
    return opened


@pytest.mark.parametrize("forwarded", [None, TENCENT, f"{TENCENT}, {TENCENT}"])
async def test_wc_14_a_foreign_source(
    organisation: Organisation, unopened: list[str], forwarded: str | None
) -> None:
    """WC-14: an address outside the list gets 403, whatever it says in X-Forwarded-For."""
    headers = {"x-forwarded-for": forwarded} if forwarded else {}
    async with organisation.client(ELSEWHERE) as client:
        answer = await client.post(
            f"/wecard/{PATHS['codes']}", content=body("00"), headers=headers
        )  # fmt: skip
    assert answer.status_code == 403
    assert unopened == []
    assert await organisation.counted("card-body") == []


async def test_wc_14_behind_our_own_proxy(organisation: Organisation) -> None:
    """The address that our own proxy wrote counts; what the caller wrote before it does not."""
    statuses = []
    for chain in (TENCENT, f"{TENCENT}, {ELSEWHERE}"):
        async with organisation.client(PROXY) as client:
            answer = await client.post(
                f"/wecard/{PATHS['codes']}", content=body("00"), headers={"x-forwarded-for": chain}
            )  # fmt: skip
        statuses.append(answer.status_code)
    assert statuses == [200, 403]


@pytest.mark.parametrize("announced", [True, False])
async def test_wc_16_a_large_body(
    organisation: Organisation, unopened: list[str], announced: bool
) -> None:
    """WC-16: 16 KiB and one byte is 413, announced or streamed; 16 KiB is read."""

    async def streamed(size: int) -> Any:
        for start in range(0, size, 1000):
            yield b"x" * min(1000, size - start)

    async with organisation.client() as client:
        for size, status in ((16_384, 200), (16_385, 413), (70_000, 413)):
            content = b"x" * size if announced else streamed(size)
            answer = await client.post(f"/wecard/{PATHS['codes']}", content=content)
            assert answer.status_code == status
    assert unopened == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS", "DELETE"])
async def test_other_methods(organisation: Organisation, method: str) -> None:
    """Only POST is answered, and only from the list: elsewhere the path looks the same."""
    async with organisation.client() as client:
        answer = await client.request(method, f"/wecard/{PATHS['codes']}")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    async with organisation.client(ELSEWHERE) as client:
        assert (await client.request(method, f"/wecard/{PATHS['codes']}")).status_code == 403


@pytest.mark.parametrize("path", ["x" * 22, "codes", PATHS["codes"].lower(), PATHS["codes"] + "x"])
async def test_an_unknown_path_does_not_exist(organisation: Organisation, path: str) -> None:
    """Without the path there is nothing here, for any method and source."""
    async with organisation.client() as client:
        assert (await client.post(f"/wecard/{path}", content=body("00"))).status_code == 404
        assert (await client.get(f"/wecard/{path}")).status_code == 404


async def test_one_source_has_a_rate(found: Any) -> None:
    """More calls a minute than configured answer 429 with the seconds to wait."""
    slow = application("codes", "binding_code", requests_per_minute=3)
    house = await found(MembersSettings.model_validate({"wecard": {"codes": slow}}))
    answers = [await house.post(body("00")) for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
