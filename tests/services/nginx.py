"""The shipped nginx configurations, in front of whatever upstream a test names."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.services.process import LOOPBACK, Service, free_port, listening, program

FOLDER = Path(__file__).parents[2] / "deploy" / "nginx"
SHIPPED, MUTUAL = FOLDER / "idp.conf.template", FOLDER / "mtls.conf.template"

# As Debian ships it, weak where ours must prevail; only the paths are the test's.
STOCK = """
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr warn;
${user}
events { worker_connections 512; }
http {
    default_type application/octet-stream;
    ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;
    ssl_prefer_server_ciphers on;
    gzip on;
    server_names_hash_bucket_size 128;
    access_log ${folder}/access.log;
    client_body_temp_path ${folder}/body;
    proxy_temp_path ${folder}/proxy;
    fastcgi_temp_path ${folder}/fastcgi;
    scgi_temp_path ${folder}/scgi;
    uwsgi_temp_path ${folder}/uwsgi;
    include ${folder}/shipped.conf;
}
"""


@dataclass(frozen=True)
class Certificate:
    """A self-signed server certificate; `write` lays it out as the edge expects it."""

    fullchain: bytes
    privkey: bytes

    def write(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "fullchain.pem").write_bytes(self.fullchain)
        key = folder / "privkey.pem"
        key.touch(mode=0o600)
        key.write_bytes(self.privkey)


def self_signed(host: str, days: int = 30, further: str = "") -> Certificate:
    """A certificate for `host`, 127.0.0.1, localhost and a `further` name; negative `days`: it has
    expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = dt.datetime.now(dt.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(host), x509.DNSName("localhost")]
    names.append(x509.IPAddress(ipaddress.ip_address(LOOPBACK)))
    names += [x509.DNSName(further)] if further else []
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=100))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Certificate(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


class Nginx(Service):
    """nginx with one of the shipped configurations, its variables filled in."""

    def __init__(self) -> None:
        self.program = program("nginx", "nginx-light")
        super().__init__("nginx")

    def serve(self, text: str, values: Mapping[str, str], *ports: int) -> None:
        """Start it with this configuration, and wait until it listens."""
        for name, value in values.items():
            text = text.replace(f"${{{name}}}", value)
        (self.folder / "shipped.conf").write_text(text)
        stock = Template(STOCK).substitute(
            folder=self.folder, user="user root root;" if os.geteuid() == 0 else ""
        )
        (self.folder / "nginx.conf").write_text(stock)
        self.start([self.program, "-e", "stderr", "-p", str(self.folder),
                    "-c", str(self.folder / "nginx.conf")])  # fmt: skip
        self.wait_until(lambda: all(map(listening, ports)))


class GuardedApi(Nginx):
    """`with GuardedApi(gate, api) as nginx:` — an agency's nginx that asks the gate."""

    def __init__(self, gate: int, api: int) -> None:
        super().__init__()
        self.gate, self.api, self.port = gate, api, free_port()

    def __enter__(self) -> Self:
        values = {
            "GUARD_LISTEN": f"{LOOPBACK}:{self.port}",
            "GUARD_GATE": f"{LOOPBACK}:{self.gate}",
            "GUARD_API": f"{LOOPBACK}:{self.api}",
        }
        self.serve((FOLDER / "guard.conf.template").read_text(), values, self.port)
        return self

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"


class Edge(Nginx):
    """`with Edge("127.0.0.1:8000") as edge:` — nginx with the shipped configuration.

    `upstream` is what nginx understands: `address:port` or `unix:/path`. `https` and `http`
    are its ports, `host` the only name it answers to, `ca` the file that trusts it. With a name
    `mutual` it asks for certificates there.
    """

    def __init__(
        self, upstream: str, host: str = "localhost", days: int = 30, mutual: str = ""
    ) -> None:
        super().__init__()
        self.upstream = upstream
        self.host = host
        self.days = days
        self.mutual = mutual
        self.http = 0
        self.https = 0

    def __enter__(self) -> Self:
        self_signed(self.host, self.days, self.mutual).write(self.folder / "tls")
        self.http, self.https = free_port(), free_port()
        values = {
            "EDGE_HOST": self.host,
            "EDGE_MTLS_HOST": self.mutual,
            "EDGE_HTTP": f"{LOOPBACK}:{self.http}",
            "EDGE_HTTPS": f"{LOOPBACK}:{self.https}",
            "EDGE_UPSTREAM": self.upstream,
            "EDGE_TLS": str(self.folder / "tls"),
            "EDGE_ACCESS_LOG": str(self.folder / "idp-access.log"),
            "EDGE_ERROR_LOG": str(self.folder / "idp-error.log"),
        }
        text = SHIPPED.read_text() + (MUTUAL.read_text() if self.mutual else "")
        self.serve(text, values, self.https, self.http)
        return self

    @property
    def url(self) -> str:
        """The base URL; the issuer of a bridge behind this edge."""
        return f"https://{self.host}:{self.https}"

    @property
    def ca(self) -> Path:
        return self.folder / "tls" / "fullchain.pem"

    @property
    def access_log(self) -> str:
        """What the shipped log format has written so far."""
        return (self.folder / "idp-access.log").read_text()

    def trust(self) -> ssl.SSLContext:
        """A client's context that trusts this edge's certificate and nothing else."""
        return ssl.create_default_context(cafile=str(self.ca))
