"""Whether an upstream answers, and if not, why."""

from __future__ import annotations

import httpx

from idp.kernel.reasons import reason_of
from idp.verify import Check
from idp.verify.settings import UpstreamSettings

_SECONDS = 5  # for a check


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
