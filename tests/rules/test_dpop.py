"""Proofs of possession as they are read (RFC 9449 §4.3)."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, RSAKey

from idp.dpop import (
    NONCE_SECONDS,
    BadProof,
    Call,
    Nonces,
    NonceWanted,
    is_for,
    normal,
    verified,
)
from tests.keys import Holder, Signer, rsa, sign

NOW = 1_790_000_000
URI = "https://api.example.test/v1/stops"
CALL = Call("GET", (URI,), NOW)
FREE = Nonces(lambda text: f"mark-{text}")
STRICT = replace(FREE, demanded=True)


def proof(
    holder: Holder | None = None, header: dict[str, Any] | None = None, /, **claims: Any
) -> str:
    return (holder or Holder()).proof(NOW, URI, header, method="GET", **claims)


def why(text: str, call: Call = CALL, nonces: Nonces = FREE) -> str:
    """Why it is refused."""
    with pytest.raises(BadProof) as refused:
        verified([text], call, nonces)
    return str(refused.value)


@pytest.mark.parametrize("alg", ["ES256", "PS256", "EdDSA", "Ed25519"])
def test_each_algorithm(alg: str) -> None:
    """A proof names its key by the thumbprint of RFC 7638. joserfc 1.8 refuses an RSA key in the
    header, which is longer than 512 bytes."""
    holder = Holder(alg)
    found = verified([proof(holder)], CALL, FREE)
    assert found.jkt == holder.jkt


def test_the_proof_of_the_specification() -> None:
    """RFC 9449 §5's example is a proof, and §6.1's thumbprint is that of its key."""
    text = (
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0Vj"
        "NoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5"
        "VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TV"
        "CIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8"
        "lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
    )
    call = Call("POST", ("https://server.example.com/token",), 1562262616)
    assert verified([text], call, FREE).jkt == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


HEADERS: dict[str, dict[str, Any]] = {
    "typ-absent": {"typ": None},
    "typ-other": {"typ": "JWT"},
    "typ-capitals": {"typ": "DPOP+JWT"},
    "typ-list": {"typ": ["dpop+jwt"]},
    "jwk-absent": {"jwk": None},
    "jwk-text": {"jwk": "key"},
    "jwk-empty": {"jwk": {}},
    "jwk-private": {"jwk": ECKey.generate_key("P-256", auto_kid=False).as_dict(private=True)},
    "jwk-symmetric": {"jwk": {"kty": "oct", "k": "AAAA"}},
    "jwk-of-another-kind": {"jwk": rsa("holder").as_dict(private=False)},
    "jwk-another-curve": {"jwk": ECKey.generate_key("P-384").as_dict(private=False)},
    "jwk-of-another": {"jwk": Holder().key.as_dict(private=False)},
    "jwk-no-point": {"jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}},
    "crit": {"crit": ["x"], "x": 1},
    "b64": {"crit": ["b64"], "b64": False},
}
CLAIMS: dict[str, dict[str, Any]] = {
    "jti-absent": {"jti": None},
    "jti-empty": {"jti": ""},
    "jti-number": {"jti": 7},
    "jti-long": {"jti": "x" * 513},
    "htm-absent": {"htm": None},
    "htm-other": {"htm": "POST"},
    "htm-small": {"htm": "get"},
    "htu-absent": {"htu": None},
    "htu-list": {"htu": [URI]},
    "htu-other": {"htu": "https://api.example.test/v1/other"},
    "htu-other-host": {"htu": "https://evil.test/v1/stops"},
    "htu-http": {"htu": "http://api.example.test/v1/stops"},
    "htu-slash": {"htu": f"{URI}/"},
    "htu-user": {"htu": "https://api.example.test@evil.test/v1/stops"},
    "iat-absent": {"iat": None},
    "iat-text": {"iat": str(NOW)},
    "iat-true": {"iat": True},
    "iat-past": {"iat": NOW - 61},
    "iat-future": {"iat": NOW + 31},
    "iat-huge": {"iat": 10**30},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_wrong_headers(header: dict[str, Any]) -> None:
    """§4.3, 4 to 7: exactly this type, a public key of the algorithm's kind, nothing critical."""
    assert why(proof(None, header))


@pytest.mark.parametrize("claims", CLAIMS.values(), ids=CLAIMS)
def test_wrong_claims(claims: dict[str, Any]) -> None:
    """§4.3, 3 and 8 to 11: each claim is there, and is that of this very request."""
    assert why(proof(**claims)) == next(iter(claims))


@pytest.mark.parametrize("shift", [-60, -10, 0, 10, 30])
def test_clocks_differ(shift: int) -> None:
    """Ten seconds either way always pass, a minute in the past too."""
    assert verified([proof(iat=NOW + shift)], CALL, FREE).until > NOW


def test_forbidden_algorithms() -> None:
    """§4.3, 5: no `none`, nothing symmetric, and no RS256 (FAPI 2.0 §5.4.1)."""
    public = Holder().key.as_dict(private=False)
    claims = {"jti": "x", "htm": "GET", "htu": URI, "iat": NOW}
    body = json.dumps(claims)
    signer = Signer(alg="RS256")
    header = {"typ": "dpop+jwt", "jwk": signer.key.as_dict(private=False)}
    secret = OctKey.import_key("0" * 64)
    for text in (
        sign({**header, "alg": "RS256"}, body, signer.key),
        sign({"typ": "dpop+jwt", "jwk": public, "alg": "HS256"}, body, secret),
        sign({"typ": "dpop+jwt", "jwk": public, "alg": "none"}, body, None),
    ):
        assert "alg" in why(text)


def test_a_weak_key() -> None:
    """RSA keys have 2048 bits or more, and no more than a server can bear."""
    assert "RSA" in why(proof(Holder("PS256", RSAKey.generate_key(1024, auto_kid=False))))


@pytest.mark.parametrize(
    "text", ["", "x", "a.b.c", "e30.e30.e30", "電.子.章", "x" * 9000, f"{'[' * 3000}.e30.AA"]
)
def test_garbage(text: str) -> None:
    """§4.3, 2: what is no JWT is no proof, and breaks nothing."""
    assert why(text)


def test_a_changed_signature() -> None:
    """§4.3, 6."""
    good = proof()
    assert why(good[:-4] + ("AAAA" if not good.endswith("AAAA") else "BBBB"))


def test_several_headers() -> None:
    """§4.3, 1: one header, also where both hold the same."""
    one = proof()
    for several in ([], [one, one]):
        with pytest.raises(BadProof, match="one DPoP header"):
            verified(several, CALL, FREE)


def test_what_nobody_knows_is_ignored() -> None:
    """RFC 7515 §4, RFC 7519 §4: further headers and claims decide nothing, nor do the key's own."""
    holder = Holder()
    jwk = {**holder.key.as_dict(private=False), "kid": "k", "use": "sig"}
    found = verified([proof(holder, {"x": 1, "jwk": jwk}, exp=1, nbf=10**12)], CALL, FREE)
    assert found.jkt == holder.jkt


def test_the_hash_of_the_token() -> None:
    """§4.3, 12: a proof that comes with a token is for that token."""
    call = replace(CALL, token="twx.abc.def")
    assert verified([proof(token="twx.abc.def")], call, FREE)
    assert why(proof(token="twx.abc.deg"), call) == "ath"
    assert why(proof(), call) == "ath"
    assert why(proof(ath="電"), call) == "ath"


def test_marks() -> None:
    """§11.1: a jti is the key's own: another key may use the same, one key may not."""
    holder = Holder()
    one, again = (verified([proof(holder, jti="same")], CALL, FREE) for _ in range(2))
    other = verified([proof(jti="same")], CALL, FREE)
    assert one.mark == again.mark != other.mark


# ── nonces ──────────────────────────────────────────────────────────────────────────────────────


def test_a_nonce_of_ours() -> None:
    """§8: where one is demanded a proof without it is told so, and one with it passes."""
    for nonce in (None, "", 7, "other", "電", FREE.fresh(NOW - NONCE_SECONDS - 60)):
        with pytest.raises(NonceWanted):
            verified([proof(nonce=nonce)], CALL, STRICT)
    assert verified([proof(nonce=STRICT.fresh(NOW))], CALL, STRICT)


def test_a_nonce_that_nobody_demands() -> None:
    """§4.3, 10: one that is sent is checked all the same."""
    with pytest.raises(NonceWanted):
        verified([proof(nonce="other")], CALL, FREE)


def test_a_nonce_tells_the_age() -> None:
    """§4.3, 11: whose clock is wrong is let in by our own nonce, and only while that is good."""
    found = verified([proof(nonce=FREE.fresh(NOW), iat=NOW - 7200)], CALL, FREE)
    assert found.until >= NOW + NONCE_SECONDS


@given(st.integers(NOW, NOW + 10**7), st.integers(-59, NONCE_SECONDS - 60))
def test_how_long_a_nonce_is_good(issued: int, later: int) -> None:
    """For four minutes at least, on a server whose clock is a minute behind too."""
    assert FREE.holds(FREE.fresh(issued), issued + later)


@given(st.integers(NOW, NOW + 10**7), st.integers(NONCE_SECONDS + 60, 10**7))
def test_a_nonce_ends(issued: int, later: int) -> None:
    """No later than a minute after its time."""
    assert not FREE.holds(FREE.fresh(issued), issued + later)


# ── addresses ───────────────────────────────────────────────────────────────────────────────────

SAME = [
    "https://api.example.test/v1/stops",
    "HTTPS://API.Example.TEST/v1/stops",
    "https://api.example.test:443/v1/stops",
    "https://api.example.test/v1/stops?x=1&y=%20",
    "https://api.example.test/v1/stops#part",
    "https://api.example.test/v1/stops?x#y?z",
    "https://api.example.test/v1/%73tops",
    "https://api.example.test/v0/../v1/./stops",
]
OTHER = [
    "",
    "/v1/stops",
    "api.example.test/v1/stops",
    "https:///v1/stops",
    "https://api.example.test/V1/stops",
    "https://api.example.test:8443/v1/stops",
    "https://api.example.test:x/v1/stops",
    "https://api.example.test:99999/v1/stops",
    "https://api.example.test//v1/stops",
    "https://api.example.test/v1%2Fstops",
    "https://api.example.test/v1/%zztops",
    "https://api.example.test/v1/stops%",
    "https://api.example.test/v1/stops\n",
    "https://[::1/v1/stops",
    "https://x@api.example.test/v1/stops",
    "ftp://api.example.test/v1/stops",
    "https://api.example.test./v1/stops",
]


@pytest.mark.parametrize("htu", SAME)
def test_the_same_address(htu: str) -> None:
    """§4.3, 9: query and fragment do not count; RFC 3986 §6.2.2 and §6.2.3 normalise the rest."""
    assert is_for(htu, [URI])


@pytest.mark.parametrize("htu", OTHER)
def test_another_address(htu: str) -> None:
    """What is not this address, or no address at all, is refused without a crash."""
    assert not is_for(htu, [URI])


SEGMENT = st.text(string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@", min_size=1)
PATHS = st.lists(SEGMENT.filter(lambda s: s not in (".", "..")), max_size=5).map("/".join)
HOSTS = st.from_regex(r"\A[a-z][a-z0-9]{0,8}(\.[a-z]{2,5}){1,2}\Z")


@given(HOSTS, PATHS, st.text(string.printable.strip(), max_size=20), st.data())
def test_normalisation_never_decides(host: str, path: str, tail: str, data: st.DataObject) -> None:
    """However an address is written, with whatever query or fragment, it is the same."""
    plain = f"https://{host}/{path}"
    cased = "".join(data.draw(st.sampled_from([c.upper(), c])) for c in f"https://{host}")
    escaped = "".join(
        f"%{ord(c):02x}" if c.isalnum() and data.draw(st.booleans()) else c for c in path
    )
    port = data.draw(st.sampled_from(["", ":443", ":"]))
    dots = data.draw(st.sampled_from(["", "./", "x/../", "x/y/../../"]))
    ending = data.draw(st.sampled_from(["", f"?{tail}", f"#{tail}"]))
    assert is_for(f"{cased}{port}/{dots}{escaped}{ending}", [plain])
    assert normal(normal(plain)) == normal(plain)


@given(HOSTS, PATHS, HOSTS, PATHS)
def test_two_addresses_are_never_one(host: str, path: str, other: str, elsewhere: str) -> None:
    """A proof for one host or path is none for another."""
    one, two = f"https://{host}/{path}", f"https://{other}/{elsewhere}"
    assert is_for(one, [two]) == (one == two)


@given(st.text(max_size=60))
def test_any_text_is_an_answer(htu: str) -> None:
    """Nothing that somebody writes as an address raises anything."""
    assert is_for(htu, [URI]) in (True, False)
