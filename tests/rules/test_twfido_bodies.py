"""What comes from outside, before anything is believed: JSON bodies and the callback."""

from __future__ import annotations

import contextlib
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.kernel.errors import Disagreement
from idp.kernel.strictjson import NotStrict, read_object
from idp.verify.twfido import callback
from idp.verify.twfido.checksum import chksum
from tests.rules.twfido_upstream import KEY, PID, QRID, SYSCODE

SEQ = "00000000000000000001"

# ── bodies ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"<html></html>",
        b'{"a":1',
        b'{"a":1}{"a":1}',
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 16 + b"}",
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"a":"\xff"}',
        b'{"a":"\n"}',
        b'{"a":' + b"[" * 8 + b"]" * 8 + b"}",
        b"[" * 60_000,
        b'{"a":"' + b'\\"' * 30_000,
        b'{"a":"' + b'\\"' * 30_000 + b"\\",
        b'{"a":"' + b"x" * 65_536 + b'"}',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_bodies_that_are_not_believed(body: bytes) -> None:
    """Whatever is not one small, shallow, unambiguous JSON object is refused, quickly."""
    with pytest.raises(NotStrict):
        read_object(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'\xef\xbb\xbf{"a":"1"}', {"a": "1"}),
        (b' {"a":"[[[[[[[[[[[["}\n', {"a": "[" * 12}),
        ('{"msg":"成功 \\ud83d\\ude00"}'.encode(), {"msg": "成功 😀"}),
        (b'{"a":[[[[[[[]]]]]]]}', {"a": [[[[[[[]]]]]]]}),
        (b'{"a":999999999999999,"b":1.5}', {"a": 999999999999999, "b": 1.5}),
    ],
)
def test_bodies_that_are_read(body: bytes, value: dict[str, Any]) -> None:
    """Ordinary JSON is read, also after a byte order mark and with brackets inside strings."""
    assert value == read_object(body)


@given(st.binary(max_size=200))
def test_no_body_crashes_the_reader(body: bytes) -> None:
    """Any bytes are either an object or NotStrict."""
    with contextlib.suppress(NotStrict):
        assert isinstance(read_object(body), dict)


# ── callback ────────────────────────────────────────────────────────────────────────────────────


def called(**changes: Any) -> dict[str, Any]:
    fields = {"qrid": QRID, "tranSeq": SEQ, "pid": PID, "rcode": "0000", "syscode": SYSCODE}
    return {"chksum": chksum(KEY, "0000" + SEQ), **fields, **changes}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(called()).encode(),
        b"\n" + json.dumps(called()).encode(),
        "&".join(f"{name}={value}" for name, value in called().items()).encode(),
    ],
)
def test_a_callback_in_json_or_as_a_form(body: bytes) -> None:
    """The slides do not print the callback's format: JSON and form are both read."""
    assert called() == callback.read_body(body)


@pytest.mark.parametrize(
    "body",
    [
        b"qrid=1&qrid=2",
        b"qrid",
        "a=中".encode(),
        b'{"a":1,"a":2}',
        b"a=1&" * 60,
        b"x=" + b"1" * 70_000,
        b'{"a"',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_callback_bodies_that_are_refused(body: bytes) -> None:
    """Ambiguous, broken and oversized callbacks are a Disagreement."""
    with pytest.raises(Disagreement):
        callback.read_body(body)


@pytest.mark.parametrize("message", [b"%a6%a8%a5%5c", b"%ff", "成功".encode("big5")])
def test_a_message_in_another_encoding(message: bytes) -> None:
    """Nothing of the message is believed, so its encoding spoils nothing: Big5 was usual once."""
    if message.startswith(b"%"):
        body = urlencode(called()).encode() + b"&msg=" + message
    else:
        body = json.dumps(called()).encode()[:-1] + b', "msg": "' + message + b'"}'
    assert called().items() <= callback.read_body(body).items()


@pytest.mark.parametrize(
    ("summed", "text"),
    [
        (("rcode", "tranSeq"), "0000" + SEQ),
        (("qrid", "tranSeq"), QRID + SEQ),
        (("pid", "rcode"), PID + "0000"),
        (("syscode", "tranSeq"), SYSCODE + SEQ),
    ],
)
def test_the_callbacks_sum_is_configuration(summed: tuple[str, ...], text: str) -> None:
    """The order of the fields under the callback's checksum is not printed: any can be set."""
    fields = called(chksum=chksum(KEY, text))
    assert callback.read(fields, [KEY], summed, SYSCODE).qrid == QRID


@pytest.mark.parametrize(
    "changes",
    [{"chksum": "0" * 16}, {"tranSeq": ""}, {"qrid": QRID.upper()}, {"rcode": "00000"}],
)
def test_callbacks_that_do_not_fit(changes: dict[str, str]) -> None:
    """A callback with a wrong checksum, a missing field or a bad value is refused."""
    with pytest.raises(Disagreement):
        callback.read(called(**changes), [KEY], ("rcode", "tranSeq"), SYSCODE)


def test_every_callback_is_acknowledged() -> None:
    """9000 means that TW FidO waits for us: the answer is rcode 0000, whatever was said."""
    assert callback.ACKNOWLEDGEMENT["rcode"] == "0000"
