"""The citizen's own signature: what is verified, and that nothing in it can do harm."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509

from idp.verify.spapi.evidence import Evidence, Found, examine, issuers_of
from tests.rules.certificates import NOW, certificate, der, elliptic, key, pem, signature

WORDS = "login:4f6e0d52-9c1b-4d4f-8f7e-3a1f6f1f0c11"
CA = certificate("issuing ca", "issuing ca", ca=True)
SUB = certificate("issuing ca", "root of the state", ca=True)
GOOD = certificate("a citizen", "issuing ca")
SIGNED = signature(key("a citizen"), WORDS)

VERIFIED, FAILED, ABSENT, UNCHECKED = Found.VERIFIED, Found.FAILED, Found.ABSENT, Found.UNCHECKED


def test_chain_and_signature() -> None:
    """A signature over our words by a certificate of a named issuer is verified, both of it."""
    found = examine(WORDS, SIGNED, der(GOOD), [CA], NOW)
    assert (found, found.complete) == (Evidence(VERIFIED, VERIFIED), True)


def test_an_issuer_that_is_not_a_root() -> None:
    """The operator names issuing CAs: one whose own issuer is not there is enough."""
    assert examine(WORDS, SIGNED, der(GOOD), [SUB], NOW).chain is VERIFIED


def test_without_issuers() -> None:
    """Without a configured issuer the chain is unchecked, and the evidence is not complete."""
    found = examine(WORDS, SIGNED, der(GOOD), [], NOW)
    assert (found, found.complete) == (Evidence(VERIFIED, UNCHECKED), False)


def test_certificates_as_pem_and_base64url() -> None:
    """The certificate is read with PEM's lines around it and in the other alphabet, too."""
    for text in (pem(GOOD).decode(), der(GOOD).replace("+", "-").replace("/", "_").rstrip("=")):
        assert examine(WORDS, SIGNED, text, [CA], NOW).complete


OTHER_CA = certificate("another ca", "another ca", ca=True)
FORGED = certificate("a citizen", "issuing ca", signer=key("a forger"))
CHAINS = {
    "another issuer": (GOOD, [OTHER_CA]),
    "a forged issuer": (FORGED, [CA]),
    "signed by itself": (certificate("a citizen", "a citizen"), [CA]),
    "expired": (certificate("a citizen", "issuing ca", days=(-9, -1)), [CA]),
    "not yet": (certificate("a citizen", "issuing ca", days=(1, 9)), [CA]),
    "by another citizen": (
        certificate("a citizen", "b citizen"),
        [CA, certificate("b citizen", "issuing ca")],
    ),
}


@pytest.mark.parametrize("case", CHAINS.values(), ids=CHAINS)
def test_chains_that_fail(case: tuple[x509.Certificate, list[x509.Certificate]]) -> None:
    """A certificate of another issuer, out of its time or signed by nobody's CA fails."""
    leaf, issuers = case
    found = examine(WORDS, SIGNED, der(leaf), issuers, NOW)
    assert found.chain is FAILED
    assert not found.complete


SIGNATURES = {
    "of other words": (signature(key("a citizen"), WORDS + "x"), FAILED),
    "of another key": (signature(key("b citizen"), WORDS), FAILED),
    "nonsense": (base64.b64encode(b"x" * 256).decode(), FAILED),
    "not base64": ("§§§", FAILED),
    "none": ("", ABSENT),
}


@pytest.mark.parametrize("case", SIGNATURES.values(), ids=SIGNATURES)
def test_signatures_that_fail(case: tuple[str, Found]) -> None:
    """A signature of other words or by another key fails; none is absent."""
    response, expected = case
    found = examine(WORDS, response, der(GOOD), [CA], NOW)
    assert (found.signature, found.complete) == (expected, False)


def test_weak_and_other_keys() -> None:
    """A short RSA key fails; a key of another kind, and a signature that nobody asked for, are
    unchecked."""
    small = key("small", 1024)
    weak = certificate("small", "issuing ca", public=small.public_key())
    curve = certificate("curve", "issuing ca", public=elliptic().public_key())
    assert examine(WORDS, signature(small, WORDS), der(weak), [CA], NOW).signature is FAILED
    assert examine(WORDS, SIGNED, der(curve), [CA], NOW).signature is UNCHECKED
    assert examine("", SIGNED, der(GOOD), [CA], NOW).signature is UNCHECKED


@pytest.mark.parametrize(
    "cert",
    ["", "AAAA", "§", "-----BEGIN CERTIFICATE-----", "A" * 20_000, der(GOOD)[:-40], "=", "\0"],
)
def test_what_is_no_certificate(cert: str) -> None:
    """Whatever stands in the place of a certificate, nothing is verified and nothing crashes."""
    found = examine(WORDS, SIGNED, cert, [CA], NOW)
    assert found.signature is UNCHECKED
    assert found.chain is (FAILED if cert else ABSENT)


@pytest.mark.parametrize("content", [b"", b"words", pem(GOOD), pem(CA, GOOD)])
def test_issuers_must_be_issuers(content: bytes) -> None:
    """A citizen's certificate among the issuers would vouch for anybody: it is refused."""
    with pytest.raises(ValueError):
        issuers_of(content)
    assert issuers_of(pem(CA, SUB)) == (CA, SUB)
