"""Every table, once. Alembic compares the migrations with this page.

Times are UTC seconds (`_at`). Only text and integers: the same rows in SQLite and PostgreSQL.
Documents are JSON text (kernel.stored). What names a person is sealed by the vault (`_sealed`,
with the purpose that opens it) and found by a keyed index (`_index`); random secrets are kept as
digests.
Each column says in a word what it holds.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
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


def key(name: str, doc: str, kind: Any = Text, *references: Any) -> Column[Any]:
    return Column(name, kind, *references, primary_key=True, autoincrement=False, doc=doc)


def text(name: str, doc: str, **more: Any) -> Column[Any]:
    return Column(name, Text, nullable=False, doc=doc, **more)


def number(name: str, doc: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, doc=doc)


def optional(name: str, doc: str, **more: Any) -> Column[Any]:
    return Column(name, Text, doc=doc, **more)


def owned(name: str, owner: str, doc: str) -> Column[Any]:
    return Column(name, Text, ForeignKey(owner), nullable=False, index=True, doc=doc)


def at(name: str, doc: str, *, nullable: bool = False, index: bool = False) -> Column[Any]:
    return Column(name, BigInteger, nullable=nullable, index=index, doc=doc)


def sealed(
    name: str, purpose: str, doc: str, *, nullable: bool = False, for_good: bool = False
) -> Column[Any]:
    """`for_good`: under the root, since the row can never be written again."""
    info = {"purpose": purpose, "for_good": for_good}
    return Column(name, Text, nullable=nullable, doc=doc, info=info)


# ── kernel ──────────────────────────────────────────────────────────────────────────────────────

stamps = Table(  # a number that grows whenever what it names has changed
    "stamps",
    metadata,
    key("name", "what has changed: `keys`, `clients`"),
    number("value", "grows with every change"),
)

vault_roots = Table(  # secrets that never change, kept sealed (kernel.root)
    "vault_roots",
    metadata,
    key("name", "what for: `index`"),
    sealed("secret_sealed", "vault-root", "32 random bytes"),
)


def _keys(name: str, algorithms: str) -> Table:
    return Table(
        name,
        metadata,
        key("kid", "RFC 7638 thumbprint"),
        text("alg", algorithms),
        sealed("private_sealed", "signing-key:{kid}", "the private JWK"),
        text("public", "the public JWK"),
        at("published_at", "in the JWKS since"),
        at("active_at", "signs since, or from then on; empty: the next one", nullable=True),
        at("retired_at", "signs no more since", nullable=True),
        at("gone_at", "out of the JWKS since", nullable=True),
    )


signing_keys = _keys("signing_keys", "RS256, ES256")
# the release before cannot read an OKP key; its workers do not look here
further_signing_keys = _keys("further_signing_keys", "PS256, EdDSA")

audit = Table(  # append-only: triggers refuse UPDATE and DELETE
    "audit",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True, doc="grows"),
    at("at", "when it happened"),
    text("event", "its name in the catalogue"),
    text("reference", "of the incident"),
    text("client_id", 'the relying party, or ""'),
    text("person_id", 'the person, or ""'),
    sealed("address_sealed", "address", "where the request came from", for_good=True),
    text("detail", "JSON of what else the event tells"),
    sqlite_autoincrement=True,
)

audit_seals = Table(  # each seal covers all audit rows up to last_id, and the seal before it
    "audit_seals",
    metadata,
    key("number", "1, 2, 3 … without a gap", BigInteger),
    number("last_id", "the last audit row under this seal"),
    number("rows", "how many rows it covers"),
    text("mark", "keyed mark over those rows and the seal before"),
    at("sealed_at", "when"),
)

counters = Table(
    "counters",
    metadata,
    key("kind", "which limit"),
    key("subject", "whom or what it counts"),
    number("count", "attempts in this window"),
    at("since", "beginning of the window"),
    at("expires_at", "end of the window", index=True),
)

outbox = Table(  # what is delivered after the transaction that wrote it (kernel.outbox)
    "outbox",
    metadata,
    key("id", "random; the receiver sees the same one at every try"),
    text("kind", "who delivers it"),
    text("recipient", "to whom: a client_id"),
    text("about", "what it is about: a session"),
    sealed("content_sealed", "outbox", "what is to be said, JSON; empty at the end", nullable=True),
    text("state", "kernel.outbox.State"),
    number("tries", "begun so far"),
    text("answer", "what the last try heard"),
    at("created_at", "when"),
    at("due_at", "next try, or the end of a lease; empty at the end", nullable=True),
    at("ended_at", "delivered, or given up", nullable=True, index=True),
    Index("ix_outbox_kind_due_at", "kind", "due_at"),
    Index("ix_outbox_recipient_created_at", "recipient", "created_at"),
)

# ── registry ────────────────────────────────────────────────────────────────────────────────────

organisations = Table(
    "organisations",
    metadata,
    key("id", "chosen by the operator or by chance"),
    text("name", "as people see it"),
    text("name_en", "the same in English"),
    at("created_at", "when"),
    at("updated_at", "last change, also of its clients"),
    at("disabled_at", "refused since", nullable=True),
)

clients = Table(
    "clients",
    metadata,
    key("client_id", "RFC 7591 client_id"),
    Column(
        "organisation_id", Text, ForeignKey("organisations.id"), index=True, doc="the owner, if any"
    ),
    text("metadata", "its document (registry.metadata)"),
    sealed("system_sealed", "system", "unused: upstream_accounts has it"),
    optional("system_index", "unused likewise", index=True),
    at("created_at", "when"),
    at("updated_at", "last change"),
    at("disabled_at", "refused since", nullable=True),
    optional("registration_digest", "keyed digest of its registration access token (RFC 7592)"),
)

registration_tokens = Table(  # initial access tokens (RFC 7591 §3)
    "registration_tokens",
    metadata,
    key("digest", "keyed digest of the token"),
    owned("organisation_id", "organisations.id", "whose clients it registers"),
    text("hint", "its last four characters"),
    number("uses_left", "how many clients it may still register"),
    at("created_at", "when"),
    at("expires_at", "end of life", index=True),
)

client_secrets = Table(
    "client_secrets",
    metadata,
    key("digest", "keyed digest of the secret"),
    owned("client_id", "clients.client_id", "whose"),
    text("hint", "its last four characters"),
    at("created_at", "when"),
    at("expires_at", "end of life, if any", nullable=True),
    at("replaced_at", "a newer one exists since", nullable=True),
)

credential_uses = Table(  # `credential` is the digest of a secret, or "" for a client's keys
    "credential_uses",
    metadata,
    key("client_id", "whose", Text, ForeignKey("clients.client_id")),
    key("credential", 'digest of a secret, or "" for the client\'s own keys'),
    at("used_at", "last use"),
    sealed("address_sealed", "address", "from where"),
)

upstream_accounts = Table(  # a client's own account at a scheme's upstream
    "upstream_accounts",
    metadata,
    key("client_id", "whose", Text, ForeignKey("clients.client_id")),
    key("scheme", "at which scheme"),
    text("account_index", "finds it by its name at the upstream", index=True),
    sealed("document_sealed", "system", "JSON of the scheme's own: name, keys, what phones show"),
    at("created_at", "the client's first one there"),
    at("updated_at", "last change"),
)

# ── onboarding ──────────────────────────────────────────────────────────────────────────────────

cases = Table(  # applications: how a relying party gets here
    "cases",
    metadata,
    key("number", "letter, ROC date, serial; -n for a later one on the same case"),
    text("kind", "onboarding.workflow.Kind"),
    text("action", "onboarding.workflow.Action"),
    text("parent", 'the case that it changes or removes, or ""'),
    text("state", "onboarding.workflow.State"),
    text("title", "name of the system, for lists"),
    text("agency", "whose, for lists"),
    number("version", "grows with every change"),
    sealed("document_sealed", "case", "drafts, papers, remarks and contacts, JSON"),
    at("created_at", "when"),
    at("state_at", "in this state since"),
    at("look_at", "when time does or says something", nullable=True, index=True),
    Index("ix_cases_state_state_at", "state", "state_at"),
    Index("ix_cases_created_at_number", "created_at", "number"),
)

case_people = Table(  # who of the applicant may see and do what
    "case_people",
    metadata,
    key("number", "which case", Text, ForeignKey("cases.number")),
    key("person_id", "who", Text, ForeignKey("persons.id")),
    text("role", "onboarding.store.Member"),
    at("since", "when they were added"),
    Index("ix_case_people_person_id", "person_id"),
)

case_events = Table(  # the history of a case; rows are never changed
    "case_events",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True, doc="grows"),
    owned("number", "cases.number", "which case"),
    at("at", "when it happened"),
    text("role", "onboarding.workflow.Role of who did it"),
    text("actor", 'person id, or an operator\'s name; "" for time'),
    text("move", "onboarding.workflow.Move"),
    text("state", "what it came to"),
    sealed("detail_sealed", "case", "remarks or the number of a letter, JSON"),
    sqlite_autoincrement=True,
)

# ── login ───────────────────────────────────────────────────────────────────────────────────────

persons = Table(
    "persons",
    metadata,
    key("id", "random; never leaves"),
    text("number_index", "finds the person by the number", unique=True),
    sealed("number_sealed", "person", "the national ID"),
    at("created_at", "first verification"),
    at("disabled_at", "refused since", nullable=True),
    at("push_paused_at", "“this was not me”: no push until the person lifts it", nullable=True),
)

person_aliases = Table(  # what a scheme's upstream calls a person
    "person_aliases",
    metadata,
    key("number_index", "finds the person by the number"),
    key("scheme", "at which scheme"),
    text("alias_index", "recognises the name, which is not stored"),
    at("seen_at", "when it was remembered"),
)

logins = Table(  # one login transaction of one browser
    "logins",
    metadata,
    key("id", "random, in the address of its pages"),
    text("browser", "digest of the browser's cookie"),
    text("reference", "of the incident"),
    text("relying_party", "client_id, or the path of a page of our own"),
    text("purpose", "who asks and where it leads (login.flow)"),
    number("attempts", "verifications begun so far"),
    optional("attempt_id", "the one that counts"),
    optional("session_id", "what it ended with"),
    at("created_at", "when"),
    at("expires_at", "end of the whole login", index=True),
    at("finished_at", "completed or cancelled", nullable=True),
)

attempts = Table(  # one verification upstream; a login has at most one that counts
    "attempts",
    metadata,
    key("id", "random"),
    owned("login_id", "logins.id", "of which login"),
    text("relying_party", "as in the login"),
    text("browser", "as in the login"),
    text("method", "scheme:method"),
    text("shows", "what the browser does meanwhile (verify.Method)", server_default=""),
    text("system", "the upstream account that was used"),
    optional("handle", "the upstream's name of the transaction", index=True),
    optional("number_index", "of whom, if known", index=True),
    sealed(
        "number_sealed",
        "attempt",
        "the number it was opened with, or that came back",
        nullable=True,
    ),
    text("challenge", "what is drawn (login.flow)"),
    text("only_for", 'the one relying party it counts for, or ""'),
    text("brought", "the result code that the browser brought back"),
    text("state", "login.flow.AttemptState"),
    text("why", "how it ended: TF-…, or login.flow.Heard"),
    at("opened_at", "when"),
    at("expires_at", "end of the attempt", index=True),
    at("asked_at", "when the upstream was last asked"),
    Index("ix_attempts_browser_state", "browser", "state"),
)

handles = Table(  # an upstream handle belongs to one attempt for ever, or to none at all
    "handles",
    metadata,
    key("handle", "the upstream's name of a transaction"),
    text("attempt_id", 'its attempt, or "" for none'),
    at("seen_at", "when", index=True),
)

landings = Table(  # what a browser carried back, kept until the same browser comes with its cookie
    "landings",
    metadata,
    key("id", "random"),
    sealed("fields_sealed", "landing", "what the browser carried, JSON"),
    at("expires_at", "soon", index=True),
)

# every call upstream has a number of its own, reserved before it in blocks of a hundred; `sequence`
# is the lowest
upstream_sequences = Table(
    "upstream_sequences",
    metadata,
    key("system", "the upstream account"),
    key("sequence", "the lowest number of the block"),
    at("reserved_at", "when", index=True),
)

sessions = Table(  # id is the digest of what the cookie holds
    "sessions",
    metadata,
    key("id", "digest of what the cookie holds"),
    owned("person_id", "persons.id", "who"),
    text("method", "scheme:method"),
    text("acr", "level of the verification"),
    text("amr", "JSON list, RFC 8176"),
    text("only_for", 'the one relying party it counts for, or ""'),
    text("agent", "the browser, in our words"),
    text(
        "root", "the first session of this person in this browser; a new login keeps it", index=True
    ),
    at("auth_time", "of the verification"),
    at("seen_at", "last use"),
    at("expires_at", "absolute end", index=True),
    at("ended_at", "logged out", nullable=True),
    text("ended_why", 'login.endings.Ending, or ""', server_default=""),
)

# relying parties that want to know when a session ends; a row goes when they are told
session_parties = Table(
    "session_parties",
    metadata,
    key("relying_party", "client_id"),
    key("session_id", "in which session it joined; names the session to it for ever"),
    text("held_by", "the session whose end is the end: the newest that continues it", index=True),
)

history = Table(  # what a person may see later: uses of their identity, and what rang their phone
    "history",
    metadata,
    key("id", "of the grant, or of the attempt"),
    text("number_index", "whose"),
    text("client_id", "for which relying party"),
    text("session_id", 'by which session, or ""'),
    text("method", "scheme:method"),
    text("state", "granted, declined, or the attempt's"),
    text("why", "how the attempt ended: TF-…, or login.flow.Heard"),
    text("claims", "names of what was given"),
    at("at", "when", index=True),
    Index("ix_history_number_index_at", "number_index", "at"),
)

# ── oidc ────────────────────────────────────────────────────────────────────────────────────────

authorizations = Table(  # a request at /authorize that waits for its person
    "authorizations",
    metadata,
    key("id", "random, in the address of its pages"),
    text("browser", 'digest of the browser\'s cookie; "" until it is known'),
    text("client_id", "who asks"),
    text("request", "the checked request (oidc.request)"),
    at("created_at", "when"),
    at("expires_at", "end", index=True),
    at("finished_at", "answered", nullable=True),
)

grants = Table(  # what a person gave a client; one row carries the whole refresh family
    "grants",
    metadata,
    key("id", "random; the refresh family"),
    text("client_id", "to whom"),
    owned("person_id", "persons.id", "by whom"),
    text("session_id", "in which session", index=True),
    text("scope", "what was granted"),
    text("claims", "JSON: claims asked for one by one"),
    text("nonce", "as the client sent it"),
    text("acr", "of the verification"),
    text("amr", "of the verification, JSON"),
    at("auth_time", "of the verification"),
    at("created_at", "when"),
    at("expires_at", "absolute end", index=True),
    at("revoked_at", "ended early", nullable=True),
    number("generation", "of the newest refresh token"),
    at("rotated_at", "when that was made", nullable=True),
    at("refreshed_at", "last use", nullable=True),
    text(
        "bound_to", 'the key that its refresh tokens need, by thumbprint, or ""', server_default=""
    ),
    text("resources", "JSON: the resources that were asked for", server_default="[]"),
)

codes = Table(
    "codes",
    metadata,
    key("digest", "of the code"),
    owned("grant_id", "grants.id", "what it stands for"),
    text("redirect_uri", "where it was sent"),
    text("code_challenge", 'PKCE S256, or ""'),
    text("dpop_jkt", 'thumbprint of the key that its redemption needs, or ""', server_default=""),
    at("expires_at", "end", index=True),
    at("spent_at", "redeemed, or burnt", nullable=True),
)

consents = Table(
    "consents",
    metadata,
    key("person_id", "who", Text, ForeignKey("persons.id")),
    key("client_id", "to whom"),
    text("scope", "what was agreed so far"),
    at("granted_at", "last time"),
)

spent_assertions = Table(  # RFC 7523 §3: a jti is taken once; RFC 9449 §11.1: so is a proof
    "spent_assertions",
    metadata,
    key("client_id", 'whose; "dpop:" for proofs'),
    key("jti", "taken once; of a proof, a digest of its key and jti"),
    at("expires_at", "until it could be used", index=True),
)

revoked_tokens = Table(
    "revoked_tokens",
    metadata,
    key("jti", "of an access token ended early"),
    at("expires_at", "when it would have ended", index=True),
)

# ── members ─────────────────────────────────────────────────────────────────────────────────────

members = Table(
    "members",
    metadata,
    key("card_number", "canonical"),
    optional("number_index", "the linked person, if any", index=True),
    sealed("number_sealed", "person", "that person's number", nullable=True),
    sealed("record_sealed", "member", "the member's record, JSON"),
    optional("password_hash", "argon2id, if there is one"),
    at("valid_from", "begin", nullable=True),
    at("valid_until", "end", nullable=True),
    at("updated_at", "last import"),
)

binding_codes = Table(
    "binding_codes",
    metadata,
    key("digest", "keyed digest of card and code"),
    owned("card_number", "members.card_number", "of which card"),
    at("expires_at", "end", index=True),
    at("spent_at", "used, or void", nullable=True),
)
