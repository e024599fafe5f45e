"""Hosts of clients, out in the world: a real TLS server at an address of the loopback that the
house of the tests may call, with certificates of the tests' own authority."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ADDRESS, NETWORK = "127.77.0.1", "127.77.0.0/16"  # 127.0.0.1 stays forbidden
DOMAIN = "outside.test"

Handler = Callable[["Got", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Got:
    """A request as it arrived; `sni` is the name that the caller gave in TLS."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    sni: str | None


@dataclass
class Outside:
    """`at[path]` is what a path answers: bytes, a document for JSON, or a handler that may do
    anything to the connection. `got` is what arrived, `connections` how many were made."""

    port: int = 0
    at: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    got: list[Got] = field(default_factory=list)
    connections: int = 0
    _names: dict[int, str | None] = field(default_factory=dict)

    def url(self, path: str = "/", host: str = f"rp.{DOMAIN}") -> str:
        return f"https://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            got = await self._read(reader, writer)
            self.got.append(got)
            found = self.at.get(got.path.partition("?")[0])
            if callable(found):
                await found(got, writer)
            else:
                await self._answer(found, writer)
        except (OSError, EOFError, ssl.SSLError):
            pass  # the caller had enough
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Got:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.strip().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (text.partition(":") for text in rest)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = line.split(" ")
        spoken = writer.get_extra_info("ssl_object")
        return Got(method, path, headers, body, self._names.get(id(spoken)))

    async def _answer(self, found: Any, writer: asyncio.StreamWriter) -> None:
        status = "404 Not Found" if found is None else "200 OK"
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        told = {"Content-Length": str(len(body)), "Connection": "close"} | self.headers
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        writer.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)
        await writer.drain()

    def named(self, spoken: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        self._names[id(spoken)] = name


@asynccontextmanager
async def outside(*names: str) -> AsyncIterator[Outside]:
    """Running, with a certificate for `names` (else for every name of the domain)."""
    world = Outside()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*(str(f) for f in authority().issue(*(names or (f"*.{DOMAIN}",)))))
    context.sni_callback = world.named
    server = await asyncio.start_server(world.serve, ADDRESS, 0, ssl=context)
    world.port = server.sockets[0].getsockname()[1]
    try:
        yield world
    finally:
        server.close()


async def resolve(host: str, port: int) -> list[str]:
    """The names of this world; numbers mean themselves, and nothing asks a real name server."""
    if host.endswith(f".{DOMAIN}"):
        return [ADDRESS]
    loop = asyncio.get_running_loop()
    return [str(found[4][0]) for found in await loop.getaddrinfo(host, port, flags=_NUMERIC)]


_NUMERIC = 4  # AI_NUMERICHOST


class Authority:
    def __init__(self, folder: Path) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "outside")])
        self.file = folder / "ca.pem"
        built = self._builder(self._name, self._key, ca=True).sign(self._key, hashes.SHA256())
        self.file.write_bytes(built.public_bytes(serialization.Encoding.PEM))

    def issue(self, *names: str) -> tuple[Path, Path]:
        """(certificate, key) of a server."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        made = (
            self._builder(subject, key, ca=False)
            .add_extension(x509.SubjectAlternativeName([_named(n) for n in names]), False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .sign(self._key, hashes.SHA256())
        )
        file = self._folder / f"{names[0].replace('*', 'any')}.pem"
        private = file.with_suffix(".key")
        file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return file, private

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool
    ) -> x509.CertificateBuilder:
        now, public = datetime.now(UTC), self._key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False)
        )


def _named(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@functools.cache
def authority() -> Authority:
    return Authority(Path(tempfile.mkdtemp(prefix="outside-")))
