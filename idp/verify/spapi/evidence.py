"""The citizen's own signature: what of it could be verified. Pure.

For a login the SP-API returns what we asked to be signed, signed by the key in the person's phone,
and the certificate of that key. It is evidence beside the ministry's word: written down, and never
a reason for a higher level. Revocation is not looked up, so a certificate says less than it seems.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

_SMALLEST_KEY = 2048  # bits
_MOST_CERT = 16_384  # characters


class Found(StrEnum):
    VERIFIED = "verified"
    FAILED = "failed"
    ABSENT = "absent"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Evidence:
    """`signature`: of what we asked to be signed, by the certificate's key. `chain`: from the
    certificate to an issuer that the operator named."""

    signature: Found = Found.ABSENT
    chain: Found = Found.ABSENT

    @property
    def complete(self) -> bool:
        return self.signature is self.chain is Found.VERIFIED


def examine(
    signed: str, response: str, cert: str, issuers: Sequence[x509.Certificate], now: int
) -> Evidence:
    """`signed` is what we asked for, "" if nothing; `response` and `cert` are the answer's base64.
    Neither is trusted: whatever they contain, this answers."""
    if not cert:
        return Evidence(Found.UNCHECKED if response else Found.ABSENT)
    certificate = _certificate(cert)
    if certificate is None:
        return Evidence(Found.UNCHECKED if response else Found.ABSENT, Found.FAILED)
    return Evidence(_signature(certificate, signed, response), _chain(certificate, issuers, now))


def issuers_of(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of an operator's file. ValueError if there is none, or one that is no CA:
    with a citizen's own there, that citizen could vouch for anybody."""
    found = tuple(x509.load_pem_x509_certificates(pem))
    for certificate in found:
        try:
            basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        except x509.ExtensionNotFound:
            raise ValueError("a certificate that is no CA's") from None
        if not basic.value.ca:
            raise ValueError("a certificate that is no CA's")
    return found


def _decoded(text: str) -> bytes | None:
    bare = "".join(text.split()).rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        return None


def _certificate(text: str) -> x509.Certificate | None:
    """DER in base64, with or without the lines of PEM around it."""
    if len(text) > _MOST_CERT or not text.isascii():
        return None
    bare = "".join(line for line in text.splitlines() if not line.startswith("-----"))
    der = _decoded(bare)
    try:
        return x509.load_der_x509_certificate(der) if der else None
    except ValueError:
        return None


def _signature(certificate: x509.Certificate, signed: str, response: str) -> Found:
    """PKCS#1 v1.5 over SHA-256, as we asked for it."""
    if not response:
        return Found.ABSENT
    try:
        key = certificate.public_key()
    except ValueError:  # a curve or an algorithm that is not known here
        return Found.UNCHECKED
    if not signed or not isinstance(key, rsa.RSAPublicKey):
        return Found.UNCHECKED
    given = _decoded(response)
    if given is None or key.key_size < _SMALLEST_KEY:
        return Found.FAILED
    try:
        key.verify(given, signed.encode("utf-8"), padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        return Found.FAILED
    return Found.VERIFIED


def _chain(certificate: x509.Certificate, issuers: Sequence[x509.Certificate], now: int) -> Found:
    """RFC 5280 §6.1, to one of the operator's issuers and no further: they are the anchors. What
    extensions a citizen's certificate has is not public, so none is demanded."""
    if not issuers:
        return Found.UNCHECKED
    leaf = ExtensionPolicy.permit_all()
    issuer = leaf.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    verifier = (
        PolicyBuilder()
        .store(Store(list(issuers)))
        .time(datetime.fromtimestamp(now, UTC).replace(tzinfo=None))
        .extension_policies(ca_policy=issuer, ee_policy=leaf)
        .build_client_verifier()
    )
    try:
        verifier.verify(certificate, [])
    except (VerificationError, ValueError):
        return Found.FAILED
    return Found.VERIFIED
