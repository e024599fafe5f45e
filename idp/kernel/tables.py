"""Every table, once. Alembic compares the migrations with this page.

Times are UTC seconds (`_at`). Only text, integers and bytes: the same rows in SQLite and
PostgreSQL. JSON is text that the owning room reads. What names a person is sealed by the vault
(`_sealed`) and found by a keyed index (`_index`); random secrets are kept as digests.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only for INTEGER PRIMARY KEY
Serial = BigInteger().with_variant(Integer, "sqlite")


def needed(
    name: str, kind: type[Text] | type[BigInteger] | type[LargeBinary] = Text
) -> Column[Any]:
    return Column(name, kind, nullable=False)


def at(name: str, *, nullable: bool = False, index: bool = False) -> Column[Any]:
    return Column(name, BigInteger, nullable=nullable, index=index)


# ── kernel ──────────────────────────────────────────────────────────────────────────────────────

stamps = Table(  # a number that grows whenever what it names has changed
    "stamps", metadata, Column("name", Text, primary_key=True), needed("value", BigInteger)
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    needed("alg"),
    needed("private_sealed"),
    needed("public"),
    at("published_at"),
    at("active_at", nullable=True),
    at("retired_at", nullable=True),
    at("gone_at", nullable=True),
)

audit = Table(  # append-only: triggers refuse UPDATE and DELETE
    "audit",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    at("at"),
    needed("event"),
    needed("reference"),
    needed("client_id"),
    needed("person_id"),
    needed("address_sealed"),
    needed("detail"),
    sqlite_autoincrement=True,
)

audit_seals = Table(  # each seal covers all audit rows up to last_id, and the seal before it
    "audit_seals",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    needed("last_id", BigInteger),
    needed("rows", BigInteger),
    needed("mark"),
    at("sealed_at"),
)

counters = Table(
    "counters",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    needed("count", BigInteger),
    at("since"),
    at("expires_at", index=True),
)

# ── registry ────────────────────────────────────────────────────────────────────────────────────

organisations = Table(
    "organisations",
    metadata,
    Column("id", Text, primary_key=True),
    needed("name"),
    needed("name_en"),
    at("created_at"),
    at("updated_at"),
    at("disabled_at", nullable=True),
)

clients = Table(
    "clients",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("organisation_id", Text, ForeignKey("organisations.id"), index=True),
    needed("metadata"),
    needed("system_sealed"),  # "", unused: upstream_accounts has it
    Column("system_index", Text, index=True),  # NULL, unused likewise
    at("created_at"),
    at("updated_at"),
    at("disabled_at", nullable=True),
)

client_secrets = Table(
    "client_secrets",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False, index=True),
    needed("hint"),
    at("created_at"),
    at("expires_at", nullable=True),
    at("replaced_at", nullable=True),
)

credential_uses = Table(  # `credential` is the digest of a secret, or "" for a client's keys
    "credential_uses",
    metadata,
    Column("client_id", Text, ForeignKey("clients.client_id"), primary_key=True),
    Column("credential", Text, primary_key=True),
    at("used_at"),
    needed("address_sealed"),
)

upstream_accounts = Table(  # a client's own account at a scheme's upstream
    "upstream_accounts",
    metadata,
    Column("client_id", Text, ForeignKey("clients.client_id"), primary_key=True),  # whose
    Column("scheme", Text, primary_key=True),  # where
    Column("account_index", Text, nullable=False, index=True),  # of its name at the upstream
    needed("document_sealed"),  # JSON of the scheme's own: name, keys, what phones show
    at("created_at"),  # when the client first had one there
    at("updated_at"),  # when it last changed
)

# ── login ───────────────────────────────────────────────────────────────────────────────────────

persons = Table(
    "persons",
    metadata,
    Column("id", Text, primary_key=True),
    Column("number_index", Text, nullable=False, unique=True),
    needed("number_sealed"),
    at("created_at"),
    at("disabled_at", nullable=True),
    at("push_paused_at", nullable=True),  # "this was not me": no push until the person lifts it
)

logins = Table(  # one login transaction of one browser
    "logins",
    metadata,
    Column("id", Text, primary_key=True),
    needed("browser"),
    needed("reference"),
    needed("relying_party"),
    needed("purpose"),
    needed("attempts", BigInteger),
    Column("attempt_id", Text),
    Column("session_id", Text),
    at("created_at"),
    at("expires_at", index=True),
    at("finished_at", nullable=True),
)

attempts = Table(  # one verification upstream; a login has at most one that counts
    "attempts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("login_id", Text, ForeignKey("logins.id"), nullable=False, index=True),
    needed("relying_party"),
    needed("browser"),
    needed("method"),
    needed("system"),
    Column("handle", Text, index=True),
    Column("number_index", Text, index=True),
    Column("number_sealed", Text),
    needed("challenge"),
    needed("only_for"),
    needed("brought"),
    needed("state"),
    needed("why"),
    at("opened_at"),
    at("expires_at", index=True),
    at("asked_at"),
    Index("ix_attempts_browser_state", "browser", "state"),
)

handles = Table(  # an upstream handle belongs to one attempt for ever, or to none at all
    "handles",
    metadata,
    Column("handle", Text, primary_key=True),
    needed("attempt_id"),
    at("seen_at", index=True),
)

landings = Table(  # what a browser carried back, kept until the same browser comes with its cookie
    "landings",
    metadata,
    Column("id", Text, primary_key=True),
    needed("fields_sealed"),
    at("expires_at", index=True),
)

# every call upstream has a number of its own, reserved before it in blocks of a hundred; `sequence`
# is the lowest
upstream_sequences = Table(
    "upstream_sequences",
    metadata,
    Column("system", Text, primary_key=True),
    Column("sequence", Text, primary_key=True),
    at("reserved_at", index=True),
)

sessions = Table(  # id is the digest of what the cookie holds
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("person_id", Text, ForeignKey("persons.id"), nullable=False, index=True),
    needed("method"),
    needed("acr"),
    needed("amr"),
    needed("only_for"),
    needed("agent"),
    Column("root", Text, nullable=False, index=True),
    at("auth_time"),
    at("seen_at"),
    at("expires_at", index=True),
    at("ended_at", nullable=True),
)

history = Table(  # what a person may see later: uses of their identity, and what rang their phone
    "history",
    metadata,
    Column("id", Text, primary_key=True),  # of the grant, or of the attempt
    needed("number_index"),
    needed("client_id"),
    needed("session_id"),
    needed("method"),
    needed("state"),
    needed("why"),
    needed("claims"),
    at("at", index=True),
    Index("ix_history_number_index_at", "number_index", "at"),
)

# ── oidc ────────────────────────────────────────────────────────────────────────────────────────

authorizations = Table(  # a request at /authorize that waits for its person
    "authorizations",
    metadata,
    Column("id", Text, primary_key=True),
    needed("browser"),
    needed("client_id"),
    needed("request"),
    at("created_at"),
    at("expires_at", index=True),
    at("finished_at", nullable=True),
)

grants = Table(  # what a person gave a client; one row carries the whole refresh family
    "grants",
    metadata,
    Column("id", Text, primary_key=True),
    needed("client_id"),
    Column("person_id", Text, ForeignKey("persons.id"), nullable=False, index=True),
    Column("session_id", Text, nullable=False, index=True),
    needed("scope"),
    needed("claims"),
    needed("nonce"),
    needed("acr"),
    needed("amr"),
    at("auth_time"),
    at("created_at"),
    at("expires_at", index=True),
    at("revoked_at", nullable=True),
    needed("generation", BigInteger),
    at("rotated_at", nullable=True),
    at("refreshed_at", nullable=True),
)

codes = Table(
    "codes",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("grant_id", Text, ForeignKey("grants.id"), nullable=False, index=True),
    needed("redirect_uri"),
    needed("code_challenge"),
    at("expires_at", index=True),
    at("spent_at", nullable=True),
)

consents = Table(
    "consents",
    metadata,
    Column("person_id", Text, ForeignKey("persons.id"), primary_key=True),
    Column("client_id", Text, primary_key=True),
    needed("scope"),
    at("granted_at"),
)

spent_assertions = Table(  # RFC 7523 §3: a jti is taken once
    "spent_assertions",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    at("expires_at", index=True),
)

revoked_tokens = Table(
    "revoked_tokens",
    metadata,
    Column("jti", Text, primary_key=True),
    at("expires_at", index=True),
)

# ── members ─────────────────────────────────────────────────────────────────────────────────────

members = Table(
    "members",
    metadata,
    Column("card_number", Text, primary_key=True),
    Column("number_index", Text, index=True),
    Column("number_sealed", Text),
    needed("record_sealed"),
    Column("password_hash", Text),
    at("valid_from", nullable=True),
    at("valid_until", nullable=True),
    at("updated_at"),
)

binding_codes = Table(
    "binding_codes",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("card_number", Text, ForeignKey("members.card_number"), nullable=False, index=True),
    at("expires_at", index=True),
    at("spent_at", nullable=True),
)
