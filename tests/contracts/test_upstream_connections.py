"""Real connections to an upstream: whose certificate is believed, by which proxy, and what an
operator is told where nothing is answered."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from idp.kernel.errors import UpstreamAway
from idp.verify import Check, Order
from idp.verify.reasons import reach
from idp.verify.twfido.settings import TwFidoSettings
from tests.rules.twfido_upstream import PID, settings, verifier

LOOPBACK = "127.0.0.1"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Authority:
    """Signs certificates for servers on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        self.file = folder / "authority.pem"
        own = self._signed(self._name, self._key, ca=True)
        self.file.write_bytes(own.public_bytes(Encoding.PEM))

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        ca: bool = False,
        days: int = 1,
        names: tuple[x509.GeneralName, ...] = (),
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=10))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def server(self, name: str = LOOPBACK, days: int = 1) -> ssl.SSLContext:
        """For a server that shows a certificate of this name."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternative: x509.GeneralName = x509.DNSName(name)
        with contextlib.suppress(ValueError):
            alternative = x509.IPAddress(ip_address(name))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        shown = self._signed(subject, key, days=days, names=(alternative,))
        file = self._folder / "server.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(private + shown.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@asynccontextmanager
async def serving(
    handler: Handler = answering, context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A port of this machine."""
    server = await asyncio.start_server(handler, LOOPBACK, 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def looked_at(**changes: Any) -> Check:
    """What `idp doctor` says of the way there."""
    known = settings(**changes)
    line = known.transport()
    try:
        return await reach("twfido", known, line)
    finally:
        await line.aclose()


async def test_the_operating_systems_authorities_are_believed(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a setting: those of OpenSSL's own place, which the system fills."""
    async with serving(context=authority.server()) as port:
        url = f"https://{LOOPBACK}:{port}"
        assert "unknown authority" in (await looked_at(base_url=url)).seen
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))  # read by OpenSSL
        assert (await looked_at(base_url=url)).seen == f"{url}: HTTP 404"


async def test_an_authority_of_ones_own(authority: Authority) -> None:
    """`ca_file` names it."""
    async with serving(context=authority.server()) as port:
        url = f"https://{LOOPBACK}:{port}"
        check = await looked_at(base_url=url, ca_file=authority.file)
        assert (check.result, check.remedy) == ("ok", "")


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        ({"name": "elsewhere.test"}, "the certificate is for another"),
        ({"days": -1}, "the certificate has expired"),
    ],
)
async def test_certificates_that_are_refused(
    authority: Authority, shown: dict[str, Any], reason: str
) -> None:
    """The finding says what is wrong with the certificate, and which settings could help."""
    async with serving(context=authority.server(**shown)) as port:
        url = f"https://{LOOPBACK}:{port}"
        check = await looked_at(base_url=url, ca_file=authority.file)
    assert check.result == "fail"
    assert reason in check.seen
    assert "twfido.ca_file" in check.remedy


async def test_other_reasons_for_no_answer(authority: Authority) -> None:
    """Nobody listens, the name is nobody's, it speaks no TLS: each is told apart."""
    async with serving() as port:
        pass
    refused = await looked_at(base_url=f"http://{LOOPBACK}:{port}")
    assert "connection refused" in refused.seen
    assert "name is unknown" in (await looked_at(base_url="http://nowhere.invalid")).seen
    async with serving() as port:
        check = await looked_at(base_url=f"https://{LOOPBACK}:{port}", ca_file=authority.file)
        assert "no TLS connection" in check.seen


async def test_a_call_says_why_nothing_was_answered(authority: Authority) -> None:
    """What a login logs of an upstream that is away names the interface and the reason, and
    nothing of what was sent."""
    order = Order("rp", "twfido:push", PID)
    async with serving(context=authority.server()) as port:
        url = f"https://{LOOPBACK}:{port}"
        with pytest.raises(UpstreamAway) as away:
            await verifier(settings(base_url=url).transport(), base_url=url).start(order)
    assert away.value.detail.startswith("FATH-01: the certificate is of an unknown authority")
    async with serving(silent) as port:
        changes = {"base_url": f"http://{LOOPBACK}:{port}", "read_timeout": 0.1}
        with pytest.raises(UpstreamAway) as away:
            await verifier(settings(**changes).transport(), **changes).start(order)
    assert away.value.detail == "FATH-01: timed out (ReadTimeout)"


async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A proxy: CONNECT, then bytes in both directions."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    tunnel_heads.append(head)
    host, _, port = head.split()[1].partition(":")
    if "Basic " not in head:
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        writer.close()
        return
    there, out = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
    await asyncio.gather(_copy(reader, out), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
    writer.close()


tunnel_heads: list[str] = []


async def test_a_proxy_only_where_it_is_set(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's is never used; the setting's is, with its password, and the certificate
    is still the upstream's own."""
    tunnel_heads.clear()
    async with serving(tunnel) as port, serving(context=authority.server()) as upstream:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{LOOPBACK}:{port}")
        known = {"base_url": f"https://{LOOPBACK}:{upstream}", "ca_file": authority.file}
        assert (await looked_at(**known)).result == "ok"
        assert tunnel_heads == []
        through = f"http://bridge:secret@{LOOPBACK}:{port}"
        assert (await looked_at(**known, proxy=through)).result == "ok"
        assert tunnel_heads[0].startswith(f"CONNECT {LOOPBACK}:{upstream}")
        refused = await looked_at(**known, proxy=f"http://{LOOPBACK}:{port}")
        assert "the proxy refused" in refused.seen


@pytest.mark.parametrize(
    "wrong",
    [
        {"ca_file": "/nowhere/authority.pem"},
        {"ca_file": __file__},
        {"proxy": "socks5://127.0.0.1:1"},
        {"proxy": "127.0.0.1:3128"},
    ],
)
def test_settings_that_cannot_work(wrong: dict[str, str]) -> None:
    """Told at the start, and a proxy's password is not shown."""
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        settings(**wrong)


def test_the_proxys_password_is_a_secret() -> None:
    """Neither printed nor part of the section's text."""
    known: TwFidoSettings = settings(proxy="http://bridge:secret@127.0.0.1:3128")
    assert "secret" not in repr(known)
    assert isinstance(known.transport(), httpx.AsyncHTTPTransport)
