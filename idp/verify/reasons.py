"""Whether an upstream answers, and if not, why: which of DNS, proxy, connection, TLS and time it
was, in words for an operator. A library's own message is never repeated, since it may quote what
was sent."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import httpx

from idp.verify import Check
from idp.verify.settings import UpstreamSettings

_SECONDS = 5  # for a check

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


async def reach(scheme: str, settings: UpstreamSettings, line: httpx.AsyncBaseTransport) -> Check:
    """Whether anything answers there; what it answers to a bare GET does not matter."""
    what, url = f"{scheme} upstream", settings.server_url
    limits = httpx.Timeout(_SECONDS).as_dict()
    try:
        answer = await line.handle_async_request(
            httpx.Request("GET", url, extensions={"timeout": limits})
        )
        await answer.aclose()
    except Exception as away:  # DNS, proxy, TLS, refused, timed out: all of them are the finding
        remedy = (
            "try it from this host; the system's authorities come with ca-certificates,"
            f" {scheme}.ca_file names others, {scheme}.proxy a proxy"
        )
        return Check("fail", what, f"{url}: {reason_of(away)}", remedy)
    return Check("ok", what, f"{url}: HTTP {answer.status_code}")
