"""Certificates of client programs, and the authorities that issue them."""

from __future__ import annotations

import base64
import datetime as dt
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from joserfc.jwk import ECKey

from tests.house import START

NOW = dt.datetime.fromtimestamp(START, dt.UTC)
LONG = (-10_000, 10_000)  # also by the clock of nginx
NO_USE: dict[str, Any] = dict.fromkeys(
    ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
     "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False
)  # fmt: skip
SIGNS, ISSUES = NO_USE | {"digital_signature": True}, NO_USE | {"key_cert_sign": True}


def dn(name: str) -> x509.Name:
    return x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "TW"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "國家圖書館"),
        x509.NameAttribute(NameOID.COMMON_NAME, name),
    ])  # fmt: skip


@dataclass
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def issued(
        cls,
        name: str,
        by: Pair | None = None,
        *,
        names: tuple[x509.GeneralName, ...] = (),
        days: tuple[int, int] = (-10, 100),
        use: dict[str, Any] | None = None,
        purposes: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
        ca: bool = False,
    ) -> Self:
        """By an authority, or by itself; valid in these days from the house's."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = by.certificate.subject if by else dn(name)
        builder = (
            x509.CertificateBuilder()
            .subject_name(dn(name))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + dt.timedelta(days=days[0]))
            .not_valid_after(NOW + dt.timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(x509.KeyUsage(**(use or (ISSUES if ca else SIGNS))), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        if purposes and not ca:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
        if by:
            known = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
            builder = builder.add_extension(known, False)
        return cls(builder.sign((by.key if by else key), hashes.SHA256()), key)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def header(self) -> str:
        """As nginx writes it."""
        return quote(self.pem.decode(), safe="")

    @property
    def jwk(self) -> dict[str, Any]:
        """RFC 7517 §4.7."""
        chain = [base64.b64encode(self.certificate.public_bytes(Encoding.DER)).decode()]
        public = ECKey.import_key(self.key.public_key())
        return {**public.as_dict(private=False), "x5c": chain}

    def write(self, file: Path) -> Path:
        """Certificate and key in one file, as OpenSSL reads them."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(self.pem + key)
        return file

    def shown_by(self, context: ssl.SSLContext, folder: Path) -> ssl.SSLContext:
        """A client's TLS that shows this certificate."""
        context.load_cert_chain(self.write(folder / "client.pem"))
        return context
