"""Registers the clients that a plan needs at a bridge, and prints the suite's configuration.

python -m tests.conformance.config --idp '.venv/bin/idp -c idp.toml' --op https://op.test \
    --plan oidcc-basic-certification-test-plan:client_registration=static_client > config.json
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shlex
import ssl
import subprocess
import tempfile
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey

from tests.conformance.browser import Steps
from tests.conformance.resource import SCOPE

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan with its variants, as run.py takes it: `NAME:variant=value,...`."""

    name: str
    variants: dict[str, str]

    @classmethod
    def read(cls, text: str) -> Plan:
        name, _, variants = text.partition(":")
        return cls(name, dict(v.split("=", 1) for v in variants.split(",") if v))

    @property
    def fapi(self) -> bool:
        return self.name.startswith("fapi2-")

    def has(self, variant: str, value: str) -> bool:
        return self.variants.get(variant) == value


@dataclass(frozen=True, slots=True)
class Bridge:
    """The bridge, reached by its command line, and the suite."""

    idp: list[str]
    op: str
    suite: str
    alias: str
    document: Json  # its discovery
    also: tuple[str, ...]  # further options of `idp client create`
    api: str  # of an agency, for the plans without OpenID Connect (resource.py)

    @property
    def base(self) -> str:
        """Where the suite takes answers."""
        return f"{self.suite}/test/a/{self.alias}"

    def userinfo(self, *, mtls: bool) -> str:
        named = self.document["mtls_endpoint_aliases"] if mtls else self.document
        return str(named["userinfo_endpoint"])

    def run(self, *command: str) -> Json:
        out = subprocess.run([*self.idp, *command], capture_output=True, text=True)
        if out.returncode:
            raise SystemExit(out.stderr + out.stdout)
        found: Json = json.loads(out.stdout[out.stdout.index("{") :])
        return found

    def client(self, name: str, *options: str, query: str = "", api: bool = False) -> Json:
        """A new client, of OpenID Connect or of an `api`; `query` is added to its redirect URI."""
        scopes = ["--scope", SCOPE, "--audience", self.api] if api else self._scopes()
        return self.run(
            "client", "create", "--json", "--name", name, *scopes, *options, *self.also,
            "--redirect-uri", f"{self.base}/callback{query}",
            "--post-logout-redirect-uri", f"{self.base}/post_logout_redirect",
            "--grant", "authorization_code", "--grant", "refresh_token",
        )  # fmt: skip

    def _scopes(self) -> list[str]:
        """All that it supports: the suite asks for what discovery names."""
        return [word for scope in self.document["scopes_supported"] for word in ("--scope", scope)]


def configuration(bridge: Bridge, plan: Plan, alias: str) -> Json:
    """Everything that the suite asks for before it creates the plan."""
    steps = Steps(bridge.op, bridge.suite)
    clients = _fapi if plan.fapi else _dynamic if _registers_itself(plan) else _static
    return {
        "alias": alias,
        "description": plan.name,
        "server": {"discoveryUrl": f"{bridge.op}/.well-known/openid-configuration"},
        **clients(bridge, plan),
        "browser": steps.for_plan(),
        "override": steps.overrides(),
        "options": {"browsercontrol_css_enable": False},
    }


def _registers_itself(plan: Plan) -> bool:
    always = plan.name.startswith(("oidcc-dynamic-", "oidcc-3rdparty-"))
    return always or plan.has("client_registration", "dynamic_client")


def _static(bridge: Bridge, plan: Plan) -> Json:
    modes = ["--response-mode", "form_post"]
    if "formpost" not in plan.name:
        modes += ["--response-mode", "query"]
    more = [*modes, *_logout(bridge, plan)]
    return {
        "client": bridge.client("suite one", *more),
        "client_secret_post": bridge.client(
            "suite post", *more, "--auth-method", "client_secret_post"
        ),
        "client2": bridge.client("suite two", *more),
    }


def _logout(bridge: Bridge, plan: Plan) -> list[str]:
    for channel in ("backchannel", "frontchannel"):
        if channel in plan.name:
            uri = f"{bridge.base}/{channel}_logout"
            return [
                f"--{channel}-logout-uri", uri, f"--{channel}-logout-session-required"
            ]  # fmt: skip
    return []


def _dynamic(bridge: Bridge, _plan: Plan) -> Json:
    """The suite registers its clients, with an initial access token of an organisation."""
    organisation = bridge.run("org", "create", "--json", "--name", "suite")["id"]
    issue = ("registration-token", "issue", "--json", "--uses", "1000", organisation)
    token = bridge.run(*issue)["initial_access_token"]
    return {
        name: {"client_name": name, "initial_access_token": token} for name in ("client", "client2")
    }


# ── FAPI 2.0 ────────────────────────────────────────────────────────────────────────────────────


def _fapi(bridge: Bridge, plan: Plan) -> Json:
    """Two clients with a key and a certificate each; the second has a query in its address."""
    bound_to_tls, plain = plan.has("sender_constrain", "mtls"), plan.has("openid", "plain_oauth")
    called = f"{bridge.api}/v1" if plain else bridge.userinfo(mtls=bound_to_tls)
    found: Json = {"resource": {"resourceUrl": called}}
    for number, query in (("", ""), ("2", "?dummy1=lorem&dummy2=ipsum")):
        holder = Holder.made(f"suite client{number}")
        options = _fapi_options(plan, holder)
        made = bridge.client(holder.name, *options, query=query, api=plain)
        found[f"client{number}"] = {
            "client_id": made["client_id"],
            "jwks": {"keys": [holder.key.as_dict(private=True)]},
            "scope": SCOPE if plain else "openid profile",
            "dpop_signing_alg": "ES256",
        }
        found[f"mtls{number}"] = {"cert": holder.certificate, "key": holder.private}
    return found


def _fapi_options(plan: Plan, holder: Holder) -> list[str]:
    jarm = plan.has("fapi_response_mode", "jarm")
    options = ["--profile", "fapi2-message-signing" if jarm else "fapi2"]
    if plan.has("fapi_request_method", "signed_non_repudiation"):
        options += ["--require-signed-request-object"]
    by_certificate = plan.has("client_auth_type", "mtls")
    method = "self_signed_tls_client_auth" if by_certificate else "private_key_jwt"
    options += ["--auth-method", method, "--jwks"]
    options += [holder.jwks_file(of_certificate=by_certificate)]
    if plan.has("sender_constrain", "mtls"):
        options += ["--tls-client-certificate-bound-access-tokens"]
    return options


@dataclass(frozen=True, slots=True)
class Holder:
    """Who signs with a key, and shows a certificate of its own making for another."""

    name: str
    key: ECKey
    certificate: str
    private: str

    @classmethod
    def made(cls, name: str) -> Holder:
        key = ECKey.generate_key("P-256", {"alg": "ES256", "use": "sig"}, auto_kid=True)
        return cls(name, key, *_certificate(name))

    def jwks_file(self, *, of_certificate: bool) -> str:
        """Its public key, or that of the certificate with `x5c`."""
        public = self.key.as_dict(private=False)
        if of_certificate:
            loaded = x509.load_pem_x509_certificate(self.certificate.encode())
            der = loaded.public_bytes(serialization.Encoding.DER)
            shown = ECKey.import_key(self.private).as_dict(private=False)
            public = {**shown, "x5c": [b64encode(der).decode()]}
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
            json.dump({"keys": [public]}, file)
        return file.name


def _certificate(name: str) -> tuple[str, str]:
    """(certificate, private key) in PEM, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return signed.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idp", required=True, help="the bridge's command line")
    parser.add_argument("--op", default="https://op.test", help="the bridge's issuer")
    parser.add_argument("--suite", default="https://suite.test:8443")
    parser.add_argument("--alias", default="house", help="two plans at once need two")
    parser.add_argument("--plan", required=True, help="NAME:variant=value,...")
    parser.add_argument("--api", default="https://api.op.test", help="its address (resource.py)")
    parser.add_argument("--also", default="", help="further options of `idp client create`")
    asked = parser.parse_args()
    trusted = ssl.create_default_context()  # SSL_CERT_FILE names the authority of a test name
    document = httpx.get(f"{asked.op}/.well-known/openid-configuration", verify=trusted).json()
    bridge = Bridge(
        shlex.split(asked.idp),
        asked.op,
        asked.suite,
        asked.alias,
        document,
        tuple(shlex.split(asked.also)),
        asked.api,
    )
    print(json.dumps(configuration(bridge, Plan.read(asked.plan), asked.alias), indent=1))


if __name__ == "__main__":
    main()
