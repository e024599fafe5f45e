"""Certificates that callers show in TLS (RFC 8705), as the proxy before us hands them over: for
the bridge and for the guard. Pure.

TLS ends at the proxy, which has seen that the caller holds the certificate's key. It writes the
certificate into one header, as nginx does with $ssl_client_escaped_cert: PEM, percent-encoded.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

HEADER = "x-client-cert"
X5T = "x5t#S256"  # the member of `cnf` (RFC 8705 §3.1)
MOST_BYTES = 16_384  # of a header; certificates have one to three thousand


class BadCertificate(Exception):
    """Why a certificate is none; a text that its owner may read."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A certificate whose key the caller holds; by whom it is issued nobody has looked at."""

    certificate: x509.Certificate
    thumbprint: str


def shown(header: str) -> Shown | None:
    """What the header of a proxy that is believed says; None if the caller showed nothing.
    Raises BadCertificate."""
    if not header:
        return None
    if len(header) > MOST_BYTES:
        raise BadCertificate("it is too large")
    try:
        found = x509.load_pem_x509_certificates(unquote_to_bytes(header))
    except ValueError:
        raise BadCertificate("it is not a certificate in PEM") from None
    if len(found) != 1:
        raise BadCertificate("one certificate, not several")
    return Shown(found[0], thumbprint(found[0]))


def thumbprint(certificate: x509.Certificate) -> str:
    """RFC 8705 §3.1."""
    digest = sha256(certificate.public_bytes(Encoding.DER)).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def registered(jwk: dict[str, Any]) -> x509.Certificate:
    """The certificate of a key that a client registered: the first of its `x5c` (RFC 7517 §4.7).
    Raises BadCertificate."""
    try:
        return x509.load_der_x509_certificate(base64.b64decode(jwk["x5c"][0], validate=True))
    except (ValueError, LookupError, TypeError):
        raise BadCertificate("x5c holds no certificate") from None
