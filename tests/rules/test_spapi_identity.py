"""The SP-API's verifier with an upstream that says what it is told to: who is let in, what is
sent, and what never leaves the process."""

from __future__ import annotations

import base64
import gzip
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from idp.kernel.errors import (
    Disagreement,
    Failed,
    NotStarted,
    UpstreamAway,
    VerificationError,
)
from idp.verify import Attempt, Challenge, Order, Outcome, State
from idp.verify.spapi import checksum
from idp.verify.spapi.rules import Handle, signed_words
from tests.rules.certificates import certificate, der, key, pem, signature
from tests.rules.spapi_upstream import (
    HASHED,
    KEY,
    NOW,
    OLD_KEY,
    OTHER,
    PID,
    RETURN,
    SERVICE,
    TICKET_ID,
    TRANSACTION,
    Answer,
    Upstream,
    opening,
    returned,
    saying,
    signed,
    ticket,
    verifier,
)
from tests.rules.spapi_upstream import settings as settings_of
from tests.rules.twfido_upstream import Stopwatch

NOBODY = saying("20002")
PUSH, QR, WEB = "spapi:push", "spapi:qr", "spapi:web"


def attempt_of(challenge: Challenge, order: Order, **changes: Any) -> Attempt:
    known: dict[str, Any] = {
        "relying_party": order.relying_party,
        "method": order.method,
        "system": challenge.system,
        "handle": challenge.handle,
        "number": order.number,
    }
    return Attempt(**(known | changes))


async def begun(method: str = "push", **changes: Any) -> Attempt:
    order = Order("rp", f"spapi:{method}", None if method == "web" else PID)
    challenge = await verifier(opening()).start(order)
    return attempt_of(challenge, order, **changes)


# ── start ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("method", "interface"), [("qr", "ATH-01"), ("push", "ATH-03")])
async def test_openings(method: str, interface: str) -> None:
    """QR and push open a ticket each; the challenge shows the name that phones show."""
    upstream = opening()
    challenge = await verifier(upstream).start(Order("rp", f"spapi:{method}", PID))
    ((asked, sent),) = upstream.seen
    assert asked == interface
    assert (sent["op_code"], sent.get("op_mode")) == ("ATH", "I-SCAN" if method == "qr" else None)
    assert sent["sign_info"]["sign_data"] == signed_words(sent["transaction_id"])
    assert (challenge.system, challenge.display_name) == (SERVICE, "示範服務")
    assert (challenge.expires_in, sent["time_limit"]) == (180, 180)
    assert (challenge.qr is not None, bool(challenge.app_link)) == (method == "qr",) * 2


async def test_the_qr_code_and_the_link() -> None:
    """Both carry the ticket; the link leads back to us with the transaction, in base64url."""
    challenge = await verifier(opening()).start(Order("rp", QR, PID))
    transaction = Handle.read(challenge.handle or "").transaction_id
    assert challenge.qr == ticket(transaction)
    query = parse_qs(urlsplit(challenge.app_link).query)
    assert query["sp_ticket"] == [challenge.qr]
    led = [base64.urlsafe_b64decode(query[n][0] + "==").decode() for n in ("rtn_url", "rtn_val")]
    assert led == [RETURN, transaction]
    assert (await verifier(opening(), app_link="").start(Order("rp", QR, PID))).app_link == ""


async def test_the_browser_is_sent_with_signed_fields() -> None:
    """A redirect calls nobody: the browser gets an address and signed fields without a number,
    even if one was typed, and the transaction is ours from the start."""
    ours = verifier(NOBODY, web_url="https://browser.test")
    challenge = await ours.start(Order("rp", WEB, PID))
    fields = dict(challenge.fields)
    assert challenge.action == "https://browser.test/fidoRedirect/web"
    assert "id_num" not in fields
    assert fields["transaction_id"] == challenge.handle
    payload = fields["transaction_id"] + SERVICE + "ATH" + fields["hint"] + fields["sign_data"]
    assert checksum.matches([KEY], payload, fields["sp_checksum"])


async def test_without_a_signature() -> None:
    """Where no signature is asked for, nothing to sign is sent."""
    upstream = opening()
    await verifier(upstream, sign_type="").start(Order("rp", PUSH, PID))
    assert "sign_info" not in upstream.seen[0][1]


@pytest.mark.parametrize("number", [None, "", "A123456788", "a123456789"])
async def test_nothing_is_asked_for_a_number_that_is_nobodys(number: str | None) -> None:
    """A number that cannot be one gets the neutral answer, and nothing is sent."""
    upstream = opening()
    for method in ("push", "qr", "fax"):
        with pytest.raises(NotStarted):
            await verifier(upstream).start(Order("rp", f"spapi:{method}", number))
    assert upstream.seen == []


async def test_a_method_that_is_off() -> None:
    """A method that is not configured is not offered and cannot be started."""
    ours = verifier(opening(), methods=("qr",))
    assert list(ours.methods) == [QR]
    with pytest.raises(NotStarted):
        await ours.start(Order("rp", PUSH, PID))


OPENINGS: dict[str, tuple[Upstream, type[VerificationError]]] = {
    "not enrolled": (saying("SP-API-ATH-03-IDNUM_DEVPROF_NF: x"), NotStarted),
    "unreachable": (saying("PS_FCM_NOT_FOUND"), NotStarted),
    "unknown": (saying("SOMETHING_NEW"), NotStarted),
    "our checksum": (saying("INV_SP_CHECKSUM"), Disagreement),
    "database": (saying("DB_CONN_ERR"), UpstreamAway),
    "another transaction": (opening(transaction_id=TRANSACTION), Disagreement),
    "another service": (opening(sp_service_id="SP-9"), Disagreement),
    "a signature of a document": (opening(op_code="SIGN"), Disagreement),
    "no ticket": (saying(), Disagreement),
    "replayed": (
        Upstream(lambda *_: signed("ATH-03", TRANSACTION, sp_ticket=ticket())),
        Disagreement,
    ),
}


@pytest.mark.parametrize("case", OPENINGS.values(), ids=OPENINGS)
async def test_openings_that_fail(case: tuple[Upstream, type[VerificationError]]) -> None:
    """Not enrolled, unreachable and unknown look alike; a ticket that is not ours is an alarm."""
    upstream, why = case
    with pytest.raises(VerificationError) as failed:
        await verifier(upstream).start(Order("rp", PUSH, PID))
    assert type(failed.value) is why
    assert PID not in str(failed.value)


async def test_a_number_in_the_qr_code() -> None:
    """A ticket that says the number is not drawn on a screen; on a phone it does no harm."""
    with pytest.raises(Disagreement):
        await verifier(opening(sp_name=f"x{PID}")).start(Order("rp", QR, PID))
    assert await verifier(opening(sp_name=f"x{PID}")).start(Order("rp", PUSH, PID))


# ── poll ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["push", "qr"])
async def test_whom_a_success_logs_in(method: str) -> None:
    """Push and QR log in the number that we opened with, asked for in the opening's transaction
    and for its ticket."""
    attempt, upstream = await begun(method), saying(hashed_id_num=HASHED)
    outcome = await verifier(upstream).poll(attempt)
    assert (outcome.state, outcome.number, outcome.alarm) == (State.APPROVED, PID, None)
    ((_, sent),) = upstream.seen
    assert sent["transaction_id"] == Handle.read(attempt.handle or "").transaction_id
    assert sent["sp_ticket_id"] == TICKET_ID


def refuses(outcome: Outcome) -> bool:
    ended = (outcome.state, outcome.why, outcome.number) == (State.ENDED, Disagreement, None)
    return ended and bool(outcome.alarm) and PID not in (outcome.alarm or "")


LYING: dict[str, Upstream] = {
    "another person": saying(hashed_id_num="0" * 64),
    "nobody": saying(),
    "moved bytes": saying(hashed_id_num=HASHED + "AA"),
    "another transaction": Upstream(lambda *_: signed("ATH-02", TRANSACTION, hashed_id_num=HASHED)),
    "no code": Upstream(lambda *_: {"result": None}),
    "unsigned": Upstream(lambda *_: {"error_code": "0", "result": {"hashed_id_num": HASHED}}),
    "our key is refused": saying("INV_SP_CHECKSUM"),
    "under the old key": Upstream(
        lambda _, sent: signed("ATH-02", sent["transaction_id"], key=OLD_KEY, hashed_id_num=HASHED)
    ),
}


@pytest.mark.parametrize("upstream", LYING.values(), ids=LYING)
async def test_lies_end_the_attempt_with_an_alarm(upstream: Upstream) -> None:
    """A result of another person or transaction, or one that is not signed, logs nobody in and
    tells the operator."""
    assert refuses(await verifier(upstream).poll(await begun()))


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "spapi:fax"},
        {"number": None},
        {"handle": "x"},
        {"handle": TRANSACTION, "returned_code": "0"},
        {"system": "SP-ELSEWHERE"},
    ],
    ids=str,
)
async def test_an_attempt_that_is_not_ours(changes: dict[str, Any]) -> None:
    """A stored attempt that cannot be ours logs nobody in and crashes nothing."""
    attempt = replace(await begun(), **changes)
    assert refuses(await verifier(saying(hashed_id_num=HASHED)).poll(attempt))


async def test_a_redirect_is_not_asked_about_before_it_returns() -> None:
    """Who lures a victim to the page of a login of their own must not be let in by asking: first
    the browser that began must come back."""
    upstream = saying()
    for attempt in (await begun("web"), await begun("web", handle=None)):
        assert (await verifier(upstream).poll(attempt)).state is State.PENDING
    assert upstream.seen == []


async def test_a_redirect_logs_in_whom_its_return_named() -> None:
    """After the return, ATH-02 is asked with the transaction alone, and the number is the one that
    the signed return named."""
    upstream = saying(hashed_id_num=HASHED)
    outcome = await verifier(upstream).poll(await begun("web", number=PID, returned_code="0"))
    assert (outcome.state, outcome.number) == (State.APPROVED, PID)
    assert upstream.seen[0][1].get("sp_ticket_id", "") == ""
    failed = await begun("web", number=PID, returned_code="APP_USER_CANCEL")
    assert refuses(await verifier(saying()).poll(failed))


# ── the person's own signature ──────────────────────────────────────────────────────────────────

CA = certificate("issuing ca", "issuing ca", ca=True, days=(-4000, 4000))
LEAF = certificate("a citizen", "issuing ca", days=(-4000, 4000))


def answering(attempt: Attempt, words: str = "") -> Upstream:
    transaction = Handle.read(attempt.handle or "").transaction_id
    response = signature(key("a citizen"), words or signed_words(transaction))
    return saying(hashed_id_num=HASHED, signed_response=response, cert=der(LEAF))


@pytest.mark.parametrize(
    ("demand", "words", "let_in"),
    [
        ("record", "", True),
        ("record", "other words", True),
        ("require", "", True),
        ("require", "other words", False),
    ],
)
async def test_signatures(tmp_path: Path, demand: str, words: str, let_in: bool) -> None:
    """A signature is evidence; only where the operator requires one does a wrong one let nobody
    in."""
    file = tmp_path / "issuers.pem"
    file.write_bytes(pem(CA))
    attempt = await begun()
    ours = verifier(answering(attempt, words), issuing_certificates=file, signed_response=demand)
    outcome = await ours.poll(attempt)
    assert (outcome.state is State.APPROVED) is let_in
    assert let_in or refuses(outcome)
    assert settings_of(issuing_certificates=file).issuers() == (CA,)


async def test_a_required_signature_that_does_not_come(tmp_path: Path) -> None:
    """Where a signature is required, a result without one lets nobody in."""
    file = tmp_path / "issuers.pem"
    file.write_bytes(pem(CA))
    ours = verifier(
        saying(hashed_id_num=HASHED), issuing_certificates=file, signed_response="require"
    )
    assert refuses(await ours.poll(await begun()))


async def test_a_signature_raises_no_level(tmp_path: Path) -> None:
    """The levels are the same whatever is verified of a signature."""
    file = tmp_path / "issuers.pem"
    file.write_bytes(pem(CA))
    with_it = verifier(NOBODY, issuing_certificates=file, signed_response="require")
    assert dict(with_it.methods) == dict(verifier(NOBODY, sign_type="").methods)


# ── what the browser brings ─────────────────────────────────────────────────────────────────────


async def test_a_return_tells_its_transaction() -> None:
    """A signed return is read, and names number and code for the attempt that it belongs to."""
    attempt = await begun("web")
    transaction = attempt.handle or ""
    found = await verifier(NOBODY).accept(attempt, returned(transaction, id_num=PID))
    assert (found.handle, found.code, found.number) == (transaction, "0", PID)
    code = "SP-API-WEB-01-APP_USER_CANCEL: x"
    denied = await verifier(NOBODY).accept(attempt, returned(transaction, code))
    assert (denied.code, denied.number) == ("APP_USER_CANCEL", None)


async def test_a_return_to_another_login() -> None:
    """A return counts for its own transaction: another login's, in this browser or any other, is
    refused, though it is signed."""
    mine, theirs = await begun("web"), await begun("web")
    fields = returned(theirs.handle or "", id_num=OTHER)
    for attempt in (mine, await begun("qr"), await begun("push")):
        with pytest.raises(Disagreement):
            await verifier(NOBODY).accept(attempt, fields)


async def test_a_return_that_belongs_to_nothing() -> None:
    """It is read with our own keys, so that it can be made worthless; unsigned it is refused."""
    found = await verifier(NOBODY).accept(None, returned(TRANSACTION, id_num=PID))
    assert (found.handle, found.number) == (TRANSACTION, None)
    with pytest.raises(Disagreement):
        await verifier(NOBODY).accept(None, {"transaction_id": TRANSACTION, "error_code": "0"})


@pytest.mark.parametrize("method", ["qr", "push", "web"])
async def test_the_app_leads_back(method: str) -> None:
    """What the app brings back leads to its own login only, and says nothing of its result."""
    attempt = await begun(method)
    ours = verifier(NOBODY)
    transaction = Handle.read(attempt.handle or "").transaction_id
    for value in (transaction, base64.b64encode(transaction.encode()).decode()):
        found = await ours.accept(attempt, {"rtn_val": value})
        assert (found.handle, found.code, found.number) == (attempt.handle, "", None)
    for value in (TRANSACTION, "", "§", "=" * 4000, "\0"):
        with pytest.raises(Disagreement):
            await ours.accept(attempt, {"rtn_val": value})
    with pytest.raises(Disagreement):
        await ours.accept(None, {"rtn_val": transaction})


@pytest.mark.parametrize("body", [b"", b"{}", b"a=b", b"\xff", b"[" * 50_000])
async def test_there_is_no_callback(body: bytes) -> None:
    """Whatever claims to be a callback is refused."""
    with pytest.raises(Disagreement):
        await verifier(NOBODY).wakeup(body)


# ── whose account ───────────────────────────────────────────────────────────────────────────────

THEIRS = {"sp_service_id": "SP-AGENCY", "keys": [OLD_KEY], "name": "別的服務"}


async def test_a_relying_party_with_its_own_service() -> None:
    """It is asked for under its own id and key, before and after, and counts for it alone."""

    def answer(interface: str, sent: dict[str, Any]) -> dict[str, Any]:
        transaction = sent["transaction_id"]
        if interface == "ATH-02":
            return signed(interface, transaction, key=OLD_KEY, hashed_id_num=HASHED)
        made = ticket(transaction, sp_service_id="SP-AGENCY", sp_name=None)
        return signed(interface, transaction, key=OLD_KEY, sp_ticket=made)

    upstream = Upstream(answer)
    ours = verifier(upstream, of={"agency": THEIRS}, named={"SP-AGENCY": THEIRS})
    order = Order("agency", PUSH, PID)
    challenge = await ours.start(order)
    assert (challenge.system, challenge.only_for) == ("SP-AGENCY", "agency")
    assert challenge.display_name == "別的服務"
    moved = attempt_of(challenge, order, relying_party="left")
    assert (await ours.poll(moved)).number == PID
    assert {sent["sp_service_id"] for _, sent in upstream.seen} == {"SP-AGENCY"}
    assert refuses(await verifier(upstream).poll(attempt_of(challenge, order)))


# ── the calls ───────────────────────────────────────────────────────────────────────────────────


def boom(*_: Any) -> httpx.Response:
    raise httpx.ReadTimeout(f"while sending {PID}")


NO_ANSWER: dict[str, Answer] = {
    "status 500": lambda *_: httpx.Response(500, json={"error_code": "0"}),
    "redirect": lambda *_: httpx.Response(302, headers={"location": "https://evil.test/"}),
    "html": lambda *_: httpx.Response(200, text="<title>維護中</title>"),
    "20 MB": lambda *_: httpx.Response(200, content=b" " * 20_000_000),
    "compressed": lambda *_: httpx.Response(
        200, content=gzip.compress(b"{}"), headers={"content-encoding": "gzip"}
    ),
    "twice": lambda *_: httpx.Response(200, text='{"error_code":"20002","error_code":"0"}'),
    "timeout": boom,
}


@pytest.mark.parametrize("kind", NO_ANSWER)
async def test_openings_are_never_sent_twice(kind: str) -> None:
    """Whatever goes wrong, ATH-01 and ATH-03 are sent once: a second one would ring twice."""
    for method in ("push", "qr"):
        upstream = Upstream(NO_ANSWER[kind])
        with pytest.raises(UpstreamAway) as away:
            await verifier(upstream).start(Order("rp", f"spapi:{method}", PID))
        assert len(upstream.seen) == 1
        assert PID not in str(away.value)


@pytest.mark.parametrize("kind", NO_ANSWER)
async def test_asking_is_repeated_once_under_a_new_iv(kind: str) -> None:
    """ATH-02 is asked a second time after a transport error, sealed anew."""
    upstream = Upstream(NO_ANSWER[kind])
    with pytest.raises(UpstreamAway):
        await verifier(upstream).poll(await begun())
    assert len({sent["sp_checksum"][:24] for _, sent in upstream.seen}) == 2
    assert len({sent["transaction_id"] for _, sent in upstream.seen}) == 1


async def test_the_second_answer_counts() -> None:
    """A lost first answer is made good by the second one."""
    good = saying(hashed_id_num=HASHED).answer
    answers: Iterator[Answer] = iter([boom, good])
    upstream = Upstream(lambda interface, sent: next(answers)(interface, sent))
    assert (await verifier(upstream).poll(await begun())).number == PID


async def test_a_result_that_was_told_already() -> None:
    """Where a result is told once and its answer was lost, nobody is let in, and it is no alarm:
    the person tries again."""
    outcome = await verifier(saying("SPTKTID_SPTKT_RDM")).poll(await begun())
    assert (outcome.state, outcome.why, outcome.alarm) == (State.ENDED, Failed, None)


async def test_every_opening_has_a_transaction_of_its_own() -> None:
    """No transaction_id is used for a second opening, and no IV for a second message."""
    upstream = opening()
    ours = verifier(upstream)
    for _ in range(20):
        await ours.start(Order("rp", PUSH, PID))
    assert len({sent["transaction_id"] for _, sent in upstream.seen}) == 20
    assert len({sent["sp_checksum"][:24] for _, sent in upstream.seen}) == 20


async def test_the_circuit_opens_and_closes_by_itself() -> None:
    """After ten failures nothing is asked for three seconds; then one probe decides."""
    clock = Stopwatch()
    upstream = Upstream(NO_ANSWER["status 500"])
    ours = verifier(upstream, monotonic=clock)
    for _ in range(10):
        with pytest.raises(UpstreamAway):
            await ours.start(Order("rp", PUSH, PID))
    with pytest.raises(UpstreamAway, match="circuit"):
        await ours.start(Order("rp", PUSH, PID))
    assert len(upstream.seen) == 10
    clock.now += 3
    upstream.answer = opening().answer
    assert await ours.start(Order("rp", PUSH, PID))


async def test_nothing_personal_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Neither numbers nor keys nor tickets stand in the log of a login that fails."""
    with caplog.at_level(logging.DEBUG):
        for upstream in (saying("DB_CONN_ERR"), Upstream(boom), opening(op_code="SIGN")):
            with pytest.raises(VerificationError):
                await verifier(upstream).start(Order("rp", PUSH, PID))
    assert not any(secret in caplog.text for secret in (PID, KEY, TICKET_ID))


# ── for operators ───────────────────────────────────────────────────────────────────────────────


async def test_device_status() -> None:
    """LF-01 tells operators whether a phone is bound; not enrolled is an answer, too."""
    bound = await verifier(saying(is_fido="Y", is_mcert_sign="N")).registered(PID)
    assert (bound.is_fido, bound.is_mcert_sign) == (True, False)
    assert not (await verifier(saying("IDNUM_USERPROF_NF")).registered(PID)).is_fido
    for code, why in (("DB_CONN_ERR", UpstreamAway), ("SPSVCID_NF", Disagreement), ("X_Y", Failed)):
        with pytest.raises(why):
            await verifier(saying(code)).registered(PID)


def test_life_and_maintenance() -> None:
    """A ticket lives for the configured time, and an announced end is told."""
    ours = verifier(NOBODY, time_limit=600, maintenance_until="2026-11-22T06:00+08:00")
    assert {m.life for m in ours.methods.values()} == {600}
    assert {m.ask_seconds for m in ours.methods.values()} == {4}
    assert ours.closed_until == 1_795_298_400
    assert verifier(NOBODY).closed_until == 0
    assert ours.closed_until > NOW
