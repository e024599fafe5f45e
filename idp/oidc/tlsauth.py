"""Client authentication by certificate (RFC 8705 §2). Pure: TLS has shown that the caller holds
the key; here is decided whether the certificate is that of the client."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.x509 import verification
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder

from idp import mtls
from idp.kernel.errors import InvalidClient
from idp.mtls import BadCertificate, Shown
from idp.registry.clients import Client
from idp.registry.metadata import CERTIFICATE_NAMES, SELF_SIGNED


class Authorities:
    """Whose certificates are taken for `tls_client_auth`: those in the operator's file (PEM) and
    nobody else, each of them by itself, so a root need not be there."""

    def __init__(self, file: Path | None) -> None:
        known = x509.load_pem_x509_certificates(file.read_bytes()) if file else []
        self._store = verification.Store(known) if known else None

    def vouch(self, certificate: x509.Certificate, now: int) -> bool:
        """RFC 5280 §6: signature, times, constraints, and that it is for a client."""
        if self._store is None:
            return False
        builder = PolicyBuilder().store(self._store).time(dt.datetime.fromtimestamp(now, dt.UTC))
        builder = builder.extension_policies(
            ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=_OF_A_CLIENT
        )
        try:
            builder.build_client_verifier().verify(certificate, [])
        except verification.VerificationError:
            return False
        return True


def _signs(_policy: Policy, _certificate: x509.Certificate, use: x509.KeyUsage | None) -> None:
    """What TLS does with a client's key; an authority's is for something else."""
    if use and (use.key_cert_sign or not use.digital_signature):
        raise ValueError("keyUsage is not that of a client")


# as on the web, but a client may have a subject instead of names
_OF_A_CLIENT = (
    ExtensionPolicy.webpki_defaults_ee()
    .may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs)
)


def verify(client: Client, certificate: str, authorities: Authorities, now: int) -> None:
    """`certificate` is what our proxy handed over. Raises InvalidClient."""
    try:
        shown = mtls.shown(certificate)
    except BadCertificate as bad:
        raise InvalidClient(detail=f"certificate: {bad}") from None
    if shown is None:
        raise InvalidClient(detail="certificate: none was shown")
    if client.metadata.token_endpoint_auth_method == SELF_SIGNED:
        fault = _self_signed_fault(client, shown, now)
    else:
        fault = _issued_fault(client, shown, authorities, now)
    if fault:
        raise InvalidClient(detail=f"certificate: {fault}")


def _issued_fault(client: Client, shown: Shown, authorities: Authorities, now: int) -> str:
    """RFC 8705 §2.1."""
    if not authorities.vouch(shown.certificate, now):
        return "expired, not for clients, or of no authority in mtls.ca_file"
    for name in CERTIFICATE_NAMES:
        expected = str(getattr(client.metadata, name))
        if expected:
            return "" if _NAMES[name](shown.certificate, expected) else f"another {name}"
    return "none of the client's is registered"


def _self_signed_fault(client: Client, shown: Shown, now: int) -> str:
    """RFC 8705 §2.2: one of those that are registered, and no other of the same key."""
    if shown.thumbprint not in set(_registered(client)):
        return "it is not registered"
    certificate, at = shown.certificate, dt.datetime.fromtimestamp(now, dt.UTC)
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        return "expired"
    return ""


def _registered(client: Client) -> Iterator[str]:
    """Thumbprints; what this version cannot read is nobody's."""
    for jwk in (client.metadata.jwks or {}).get("keys", []):
        with contextlib.suppress(BadCertificate):
            yield mtls.thumbprint(mtls.registered(jwk))


# ── names ───────────────────────────────────────────────────────────────────────────────────────


def _is_subject(certificate: x509.Certificate, expected: str) -> bool:
    with contextlib.suppress(ValueError):
        return certificate.subject == x509.Name.from_rfc4514_string(expected)
    return False


def _alternatives(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return x509.SubjectAlternativeName([])


def _has_dns(certificate: x509.Certificate, expected: str) -> bool:
    found = _alternatives(certificate).get_values_for_type(x509.DNSName)
    return expected.lower() in {name.lower() for name in found}


def _has_uri(certificate: x509.Certificate, expected: str) -> bool:
    found = _alternatives(certificate).get_values_for_type(x509.UniformResourceIdentifier)
    return expected in found


def _has_ip(certificate: x509.Certificate, expected: str) -> bool:
    found = _alternatives(certificate).get_values_for_type(x509.IPAddress)
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(expected) in found
    return False


def _has_email(certificate: x509.Certificate, expected: str) -> bool:
    return expected in _alternatives(certificate).get_values_for_type(x509.RFC822Name)


_NAMES: Mapping[str, Callable[[x509.Certificate, str], bool]] = dict(
    zip(CERTIFICATE_NAMES, (_is_subject, _has_dns, _has_uri, _has_ip, _has_email), strict=True)
)
