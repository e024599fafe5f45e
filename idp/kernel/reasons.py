"""Why a call got no answer: which of DNS, proxy, connection, TLS and time it was, in words for an
operator. A library's own message is never repeated, since it may quote what was sent."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import httpx

# OpenSSL's X509_V_ERR_*; the others are told by number
_CERTIFICATE = {
    9: "is not valid yet",
    10: "has expired",
    18: "is signed by itself",
    19: "is of an unknown authority",
    20: "is of an unknown authority",
    21: "is of an unknown authority",
    62: "is for another name",
    64: "is for another address",
}


def reason_of(fault: BaseException) -> str:
    """The deepest cause that is known, and the class of what was raised."""
    known = next((text for cause in _causes(fault) if (text := _known(cause))), "")
    return f"{known} ({type(fault).__name__})" if known else type(fault).__name__


def _causes(fault: BaseException) -> Iterator[BaseException]:
    """The innermost first."""
    inner = fault.__cause__ or fault.__context__
    if inner is not None:
        yield from _causes(inner)
    if isinstance(fault, BaseExceptionGroup):
        for one in fault.exceptions:
            yield from _causes(one)
    yield fault


def _known(fault: BaseException) -> str:
    match fault:
        case ssl.SSLCertVerificationError():
            number = fault.verify_code
            return f"the certificate {_CERTIFICATE.get(number, f'was refused ({number})')}"
        case ssl.SSLError():
            return "no TLS connection"
        case ConnectionRefusedError():
            return "connection refused"
        case ConnectionResetError():
            return "connection reset"
        case socket.gaierror():
            return "the host's name is unknown"
        case httpx.ProxyError():
            return "the proxy refused"
        case httpx.ConnectTimeout():
            return "timed out while connecting"
        case httpx.TimeoutException() | TimeoutError():
            return "timed out"
    return ""
