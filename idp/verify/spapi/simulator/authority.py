"""A certificate authority that vouches for everybody: for tests and development only."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

_CA = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Simulated citizen CA")])
_YEAR = timedelta(days=365)


class Authority:
    """Its keys are made when they are first needed. All people share one, which saves a second
    for each: their certificates differ by name."""

    def __init__(self) -> None:
        self._certificates: dict[str, str] = {}

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048)

    @cached_property
    def _citizens(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048)

    @cached_property
    def _certificate(self) -> x509.Certificate:
        return self._issue(_CA, self._key, ca=True)

    @property
    def pem(self) -> bytes:
        """What an operator would configure."""
        return self._certificate.public_bytes(Encoding.PEM)

    def certificate(self, pid: str) -> str:
        """DER in base64."""
        if pid not in self._certificates:
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"citizen {pid[-4:]}")])
            made = self._issue(name, self._citizens, ca=False)
            self._certificates[pid] = base64.b64encode(made.public_bytes(Encoding.DER)).decode()
        return self._certificates[pid]

    def sign(self, text: str) -> str:
        signed = self._citizens.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(signed).decode()

    def _issue(self, name: x509.Name, key: rsa.RSAPrivateKey, *, ca: bool) -> x509.Certificate:
        # far into both directions: tests turn the clock
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(_CA)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 20 * _YEAR)
            .not_valid_after(now + 20 * _YEAR)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
