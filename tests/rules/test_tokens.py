"""Tokens without a server: subjects, refresh families, what is in a token and who can read it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, OKPKey

from idp.kernel.clock import Clock
from idp.kernel.errors import InvalidToken
from idp.kernel.keyring import ALGORITHMS, KeyRing, SigningKey
from idp.kernel.vault import Vault
from idp.oidc.preload import Grant
from idp.oidc.settings import OidcSettings
from idp.oidc.tokens import MOST_BYTES, Tokens
from idp.registry.clients import Client
from idp.registry.metadata import ClientMetadata
from tests.house import ISSUER, START, StillClock
from tests.keys import rsa, verified_elsewhere


class Ring(KeyRing):
    """A key for each algorithm; they never change."""

    def __init__(self) -> None:
        self.keys = {
            "RS256": self._key("RS256", rsa("ours")),
            "PS256": self._key("PS256", rsa("ours, for PS256")),
            "ES256": self._key("ES256", ECKey.generate_key("P-256", auto_kid=False)),
            "EdDSA": self._key("EdDSA", OKPKey.generate_key("Ed25519", auto_kid=False)),
        }

    @staticmethod
    def _key(alg: str, key: Key) -> SigningKey:
        kid = key.thumbprint()
        public = {**key.as_dict(private=False), "kid": kid, "alg": alg}
        return SigningKey(kid, alg, key, public, 0, 0, None, None)

    def signer(self, alg: str) -> SigningKey:
        return self.keys[alg]

    def find(self, kid: str) -> SigningKey | None:
        return next((k for k in self.keys.values() if k.kid == kid), None)

    def jwks(self) -> dict[str, Any]:
        return {"keys": [k.public for k in self.keys.values()]}


RING = Ring()
VAULT = Vault(bytes(range(32)))


def made(vault: Vault = VAULT, clock: Clock | None = None) -> Tokens:
    return Tokens(ISSUER, OidcSettings(), RING, vault, clock or StillClock())


TOKENS = made()
GRANT = Grant(
    id="A" * 22,
    client_id="service",
    person_id="P",
    number_index="index",
    number_sealed="sealed",
    scope=("openid", "profile"),
    claims={},
    nonce="n",
    acr="urn:twfido:qr",
    amr=("swk", "user"),
    auth_time=START - 100,
    expires_at=START + 10_000,
    generation=0,
    rotated_at=None,
    refreshed_at=START,
    alive=True,
    session_alive=True,
)


def client(client_id: str = "service", **fields: Any) -> Client:
    known: dict[str, Any] = {
        "client_name": "館藏服務",
        "redirect_uris": ("https://service.test/callback",),
        "scopes": ("openid",),
    }
    metadata = ClientMetadata.model_validate(known | fields).with_sector(client_id)
    return Client(client_id, metadata, (), disabled=False)


# ── subjects ────────────────────────────────────────────────────────────────────────────────────


def test_a_subject_never_changes() -> None:
    """Relying parties keep it for ever: with the master key and the sector it is this value."""
    assert TOKENS.subject(client(), "index") == SUBJECT


SUBJECT = "u2hxblrcpoxm6ew43advqverjia"


def test_subjects_are_pairwise() -> None:
    """OpenID Connect Core §8.1: one person is another to each sector, and no number can be had
    from a subject."""
    one, other = client(sector="a.test"), client("b", sector="b.test")
    assert TOKENS.subject(one, "index") == TOKENS.subject(client("c", sector="a.test"), "index")
    assert TOKENS.subject(one, "index") != TOKENS.subject(other, "index")
    assert TOKENS.subject(one, "index") != TOKENS.subject(one, "index2")
    assert made(Vault(bytes(32))).subject(one, "index") != TOKENS.subject(one, "index")


def test_a_sector_is_the_host_once_and_for_all() -> None:
    """Another redirect_uri on another host must not make strangers of everybody."""
    first = client()
    moved = first.metadata.model_copy(update={"redirect_uris": ("https://new.test/callback",)})
    assert TOKENS.subject(replace(first, metadata=moved.with_sector("service")), "i") == (
        TOKENS.subject(first, "i")
    )


# ── refresh tokens ──────────────────────────────────────────────────────────────────────────────

GRANT_IDS = st.text("ABCabc012-_", min_size=22, max_size=22)


@given(GRANT_IDS, st.integers(0, 999_999_999))
def test_a_refresh_token_names_family_and_generation(grant_id: str, generation: int) -> None:
    """And is always the same for them: the successor can be told again."""
    text = TOKENS.refresh_token(grant_id, generation)
    assert text == made().refresh_token(grant_id, generation)
    assert TOKENS.read_refresh_token(text) == (grant_id, generation)


@given(st.data())
def test_no_other_text_is_a_refresh_token(data: st.DataObject) -> None:
    """One character more, fewer or else, and it is none."""
    text = TOKENS.refresh_token("A" * 22, 10)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda c: c != text[at]))
    for changed in (
        text[:at] + other + text[at + 1 :],
        text[:at] + other + text[at:],
        text[:at] + text[at + 1 :],
    ):
        if changed != text:
            assert TOKENS.read_refresh_token(changed) is None


def test_marks_of_other_houses() -> None:
    """A store that was copied is worth nothing without the master key."""
    text = made(Vault(bytes(32))).refresh_token("A" * 22, 0)
    assert TOKENS.read_refresh_token(text) is None


@given(st.text(max_size=100))
def test_any_text_may_be_read(text: str) -> None:
    """Whatever is presented, it is None and never a crash."""
    assert TOKENS.read_refresh_token(text) is None


# ── access tokens ───────────────────────────────────────────────────────────────────────────────


def elsewhere(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    import httpx

    return verified_elsewhere(token, httpx.Response(200, json=RING.jwks()))


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_a_person_s_token(alg: str) -> None:
    """RFC 9068 §2: signed by the one key of the client's algorithm, whose kid it names. Authlib
    1.9.9 would pick one at random from a set, and write no kid for a single key."""
    token, life = TOKENS.for_person(client(access_token_alg=alg), GRANT, "openid")
    header, claims = elsewhere(token)
    assert header == {"typ": "at+jwt", "alg": alg, "kid": TOKENS.keyring.signer(alg).kid}
    assert life == 600
    assert claims.pop("jti")
    assert claims == {
        "iss": ISSUER,
        "sub": TOKENS.subject(client(), "index"),
        "aud": ISSUER,
        "client_id": "service",
        "azp": "service",
        "iat": START,
        "exp": START + 600,
        "scope": "openid",
        "gid": GRANT.id,
        "auth_time": START - 100,
        "acr": "urn:twfido:qr",
        "amr": ["swk", "user"],
    }


@pytest.mark.parametrize(
    ("audience", "aud"),
    [((), ISSUER), (("a",), "a"), (("a", "b"), ["a", "b"])],
    ids=["none", "one", "two"],
)
def test_a_program_s_token(audience: tuple[str, ...], aud: object) -> None:
    """Of itself, with its roles where TDX's gateway looks; no person, no family."""
    program = client("p", roles=("basic",))
    _, claims = elsewhere(TOKENS.for_program(program, "api:read", audience)[0])
    assert (claims["sub"], claims["aud"], claims["exp"] - claims["iat"]) == ("p", aud, 86_400)
    assert claims["realm_access"] == {"roles": ["basic"]}
    assert not {"gid", "acr", "auth_time"} & claims.keys()


def test_token_ids_differ() -> None:
    """128 random bits each: they are revoked one by one."""
    ids = {elsewhere(TOKENS.for_program(client(), "", ())[0])[1]["jti"] for _ in range(50)}
    assert len(ids) == 50
    assert all(len(i) == 22 for i in ids)


def test_reading_our_own() -> None:
    """Until the second it expires."""
    clock = StillClock()
    tokens = made(clock=clock)
    token, _ = tokens.for_person(client(), GRANT, "openid")
    assert tokens.read_access_token(token)["gid"] == GRANT.id
    clock.pass_(600)
    with pytest.raises(InvalidToken):
        tokens.read_access_token(token)


def test_tokens_of_one_kind_are_not_of_another() -> None:
    """RFC 9068 §5, RFC 8725 §3.11: typ tells them apart."""
    access, _ = TOKENS.for_person(client(), GRANT, "openid")
    identity = TOKENS.id_token(client(), GRANT, access, {})
    assert TOKENS.read_id_token(identity)["aud"] == "service"
    for read, token in ((TOKENS.read_access_token, identity), (TOKENS.read_id_token, access)):
        with pytest.raises(InvalidToken):
            read(token)


@given(st.one_of(st.text(max_size=200), st.from_regex(r"\A[\w-]{0,30}\.[\w-]{0,30}\.[\w-]{0,9}\Z")))
def test_any_text_is_read_as_no_token(text: str) -> None:
    """InvalidToken and nothing else."""
    with pytest.raises(InvalidToken):
        TOKENS.read_access_token(text)


def test_long_texts_are_not_even_looked_at() -> None:
    """A token of ours is short; whoever sends a long one wants us to work."""
    with pytest.raises(InvalidToken, match="oversized"):
        TOKENS.read_access_token("a" * (MOST_BYTES + 1))


# ── ID tokens ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_an_id_token(alg: str) -> None:
    """OpenID Connect Core §2, §3.1.3.6: auth_time is that of the verification, at_hash is of the
    access token. Authlib 1.9.9 says now where auth_time is not handed in."""
    access, _ = TOKENS.for_person(client(), GRANT, "openid")
    token = TOKENS.id_token(
        client(id_token_signed_response_alg=alg), GRANT, access, {"twid": "A123456789"}, nonce="n"
    )
    header, claims = elsewhere(token)
    assert (header["alg"], header["typ"]) == (alg, "JWT")
    # Ed25519 hashes with SHA-512 (RFC 8032 §5.1)
    whole = hashlib.new("sha512" if alg == "EdDSA" else "sha256", access.encode()).digest()
    half = whole[: len(whole) // 2]
    assert claims == {
        "iss": ISSUER,
        "sub": TOKENS.subject(client(), "index"),
        "aud": "service",
        "iat": START,
        "exp": START + 600,
        "auth_time": START - 100,
        "acr": "urn:twfido:qr",
        "amr": ["swk", "user"],
        "nonce": "n",
        "at_hash": base64.urlsafe_b64encode(half).decode().rstrip("="),
        "twid": "A123456789",
    }


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_userinfo_as_a_jwt(alg: str) -> None:
    """OpenID Connect Core §5.3.2: signed, for this client; neither a hint nor an access token."""
    signed = TOKENS.userinfo(
        client(userinfo_signed_response_alg=alg), {"sub": "u", "iss": "evil", "name": "王"}
    )
    header, claims = elsewhere(signed)
    assert (header["alg"], header["typ"]) == (alg, "JWT")
    assert claims == {"iss": ISSUER, "aud": "service", "sub": "u", "name": "王"}
    for read in (TOKENS.read_id_token, TOKENS.read_access_token):
        with pytest.raises(InvalidToken):
            read(signed)


def test_claims_never_replace_ours() -> None:
    """Whatever a directory says of a person, who issued what to whom and when is ours to say; in
    Authlib 1.9.9 the person's claims win."""
    evil = dict.fromkeys(("iss", "sub", "aud", "exp", "iat", "acr", "nonce", "at_hash"), "evil")
    _, claims = elsewhere(TOKENS.id_token(client(), GRANT, "a", evil, nonce="n"))
    assert "evil" not in claims.values()


def test_an_old_id_token_is_still_a_hint() -> None:
    """OpenID Connect Core §3.1.2.1: id_token_hint may have expired."""
    clock = StillClock()
    tokens = made(clock=clock)
    token = tokens.id_token(client(), GRANT, "a", {})
    clock.pass_(86_400 * 365)
    assert tokens.read_id_token(token)["sub"]
