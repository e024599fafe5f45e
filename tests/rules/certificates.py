"""A certificate authority of the tests, and people's certificates."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

NOW = int(datetime(2026, 7, 31, 9, 0, tzinfo=UTC).timestamp())


@cache
def key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """The same key for the same name: making one takes long."""
    return rsa.generate_private_key(65537, bits)


@cache
def elliptic() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def certificate(
    subject: str,
    issuer: str,
    *,
    ca: bool = False,
    days: tuple[int, int] = (-1, 365),
    public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | None = None,
    signer: rsa.RSAPrivateKey | None = None,
) -> x509.Certificate:
    """`days` from NOW in which it is good; `signer` where it is not the issuer's own key."""
    now = datetime.fromtimestamp(NOW, UTC)
    signer = signer or key(issuer)
    return (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(public or key(subject).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(c.public_bytes(Encoding.PEM) for c in certificates)


def der(certificate: x509.Certificate) -> str:
    """As the interface brings it: DER in base64."""
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def signature(private: rsa.RSAPrivateKey, text: str) -> str:
    signed = private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return base64.b64encode(signed).decode()
