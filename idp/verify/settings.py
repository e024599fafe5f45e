"""What an operator decides about every upstream, and the types of such settings."""

from __future__ import annotations

import re
import ssl
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, AwareDatetime, Field, SecretStr

from idp.kernel.settings import Certificates, Section

# schemes of links that open no app
NO_APPS = ("http", "javascript", "data", "vbscript", "file", "blob", "about", "mailto")


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("an http or https URL is needed")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("no user name, query or fragment, please")
    return url.rstrip("/")


def words(value: Any) -> Any:
    """A secret file holds one text: keys in it stand apart by blanks, commas or lines."""
    return tuple(re.split(r"[\s,]+", value.strip())) if isinstance(value, str) else value


def _proxy(url: SecretStr) -> SecretStr:
    parts = urlsplit(url.get_secret_value())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("http://[USER:PASSWORD@]HOST:PORT is needed")
    return url


HttpUrl = Annotated[str, AfterValidator(_http_url)]
Path = Annotated[str, Field(pattern=r"^/[!-~]*\z")]


class UpstreamSettings(Section):
    maintenance_until: AwareDatetime | None = Field(
        None,
        description="while the service is being maintained: when it is expected back, with its zone"
        " (2026-11-22T06:00+08:00); until then nothing begins, and the page says so",
    )
    connect_timeout: float = Field(2.0, gt=0, description="seconds to connect")
    read_timeout: float = Field(5.0, gt=0, description="seconds of silence while reading")
    total_timeout: float = Field(8.0, gt=0, description="seconds for a call, a retry included")
    max_in_flight: int = Field(50, ge=1, description="calls at once per process; more fail at once")
    breaker_failures: int = Field(10, ge=1, description="failures that open the circuit breaker")
    breaker_window: float = Field(10.0, gt=0, description="seconds in which they are counted")
    breaker_pause: float = Field(3.0, gt=0, description="seconds between probes while it is open")

    ca_file: Certificates | None = Field(
        None,
        description="file (PEM) of the certificate authorities that the upstream's certificate is"
        " checked with; without it those of the operating system",
    )
    proxy: Annotated[SecretStr, AfterValidator(_proxy)] | None = Field(
        None,
        description="proxy for calls to the upstream, http://[USER:PASSWORD@]HOST:PORT; the"
        " environment's (HTTPS_PROXY) is never used",
    )

    @property
    def server_url(self) -> str:
        """Where our server calls."""
        raise NotImplementedError

    def production_faults(self) -> list[str]:
        """What must not start in production; empty if all is well."""
        raise NotImplementedError

    @property
    def closed_until(self) -> int:
        """UTC seconds; 0 if no maintenance was announced."""
        until = self.maintenance_until
        return int(until.timestamp()) if until else 0

    def transport(self) -> httpx.AsyncBaseTransport:
        """Connections to the upstream's host; no proxy from the environment."""
        trusted = ssl.create_default_context(cafile=self.ca_file)
        limits = httpx.Limits(max_connections=self.max_in_flight)
        return httpx.AsyncHTTPTransport(
            verify=trusted, limits=limits, proxy=self._by(trusted), trust_env=False
        )

    def _by(self, trusted: ssl.SSLContext) -> httpx.Proxy | None:
        if self.proxy is None:
            return None
        url = httpx.URL(self.proxy.get_secret_value())
        return httpx.Proxy(url, ssl_context=trusted if url.scheme == "https" else None)
