"""What the load needs to be there: clients, people, tokens, waiting logins. Rows come in bulk, by
one statement that SQLite and PostgreSQL both read; tokens are signed with the bridge's own keys.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
from sqlalchemy import Table

from bench.apps import AUDIENCE
from bench.load import raw
from bench.signed import SigningProgram
from idp.house import directory_of
from idp.kernel import tables
from idp.kernel.database import Transaction
from idp.kernel.sqlite import sqlite_file
from idp.members import codes
from idp.oidc.preload import Grant
from idp.oidc.settings import OidcSettings
from idp.oidc.tokens import Tokens
from idp.registry.clients import Client
from idp.verify.numbers import canonical
from tests import wecard
from tests.house import CALLBACK, Registered
from tests.processes.people import Browser, Service
from tests.services.bridge import Bridge

SILENT = "A100000047"  # the simulator's person who never answers
NUMBER, FULL_SCOPE = "A100000010", "openid profile offline_access"
LIFE = 86_400
_EMPTY = {str: "''", int: "0", bytes: "''"}
_SCRAMBLE, _RANGE = 2_654_435_761, 2**32  # neighbours must not be neighbours in the index
SQL_KEY = f"CAST({10**16} + (i * {_SCRAMBLE}) % {_RANGE} AS TEXT)"


def key(i: int) -> str:
    """The part of an id that tells row `i` from the others, as `SQL_KEY` makes it."""
    return str(10**16 + i * _SCRAMBLE % _RANGE)


def bulk(table: Table, columns: Mapping[str, str], first: int, last: int, source: str = "") -> str:
    """INSERT of rows `first` to `last`; each column is an SQL expression of `i`. What must be
    there, is not named and has no default is empty."""
    needed = [c for c in table.columns if not c.nullable and c.server_default is None]
    columns = {**{c.name: _EMPTY[c.type.python_type] for c in needed}, **columns}
    names = ", ".join(f'"{name}"' for name in columns)
    return f"""
        WITH RECURSIVE n(i) AS
            (SELECT CAST({first} AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {last})
        INSERT INTO {table.name} ({names}) SELECT {", ".join(columns.values())} FROM n {source}
    """  # noqa: S608 - our own words


def copied(table: Table, changed: Mapping[str, str], one: str, first: int, last: int) -> str:
    """INSERT of copies of the row with this primary key, with some columns changed."""
    columns = {c.name: changed.get(c.name, f'old."{c.name}"') for c in table.columns}
    (named,) = table.primary_key.columns
    source = f"CROSS JOIN {table.name} AS old WHERE old.{named.name} = '{one}'"
    return bulk(table, columns, first, last, source)


async def execute(url: str, *statements: str) -> None:
    """All of them in one transaction, beside the bridge."""
    if url.startswith("sqlite:"):
        with sqlite3.connect(sqlite_file(url), timeout=60) as database:
            for statement in statements:
                database.execute(statement)
        database.close()
        return
    connection = await asyncpg.connect(url)
    async with connection.transaction():
        for statement in statements:
            await connection.execute(statement)
    await connection.close()


async def settle(url: str) -> None:
    """After many rows: statistics for the planner, and nothing left to be written behind our
    back while we measure."""
    if url.startswith("sqlite:"):
        await execute(url, "ANALYZE")
        return
    connection = await asyncpg.connect(url)
    for statement in ("VACUUM (ANALYZE)", "CHECKPOINT"):
        await connection.execute(statement)
    await connection.close()


def people(first: int, last: int, sealed: str, client_id: str) -> list[str]:
    """Persons, each with a session and a grant to the client."""
    now, end = str(int(time.time())), str(int(time.time()) + 30 * LIFE)
    owner, seen = f"'p' || {SQL_KEY}", {"acr": "'urn:twfido:qr'", "amr": "'[\"user\"]'"}
    person = {
        "id": owner, "number_index": f"{SQL_KEY} || '{'0' * 47}'",
        "number_sealed": f"'{sealed}'", "created_at": now,
    }  # fmt: skip
    session = {
        **seen, "id": f"{SQL_KEY} || '{'5' * 47}'", "person_id": owner, "method": "'qr'",
        "auth_time": now, "seen_at": now, "expires_at": end,
    }  # fmt: skip
    grant = {
        **seen, "id": f"'grant' || {SQL_KEY}", "client_id": f"'{client_id}'",
        "person_id": owner, "session_id": session["id"], "scope": f"'{FULL_SCOPE}'",
        "claims": "'{}'", "nonce": "'n'", "auth_time": now, "created_at": now,
        "expires_at": end, "generation": "0", "refreshed_at": now,
    }  # fmt: skip
    rows = {tables.persons: person, tables.sessions: session, tables.grants: grant}
    return [bulk(table, columns, first, last) for table, columns in rows.items()]


@dataclass
class Scene:
    """One running bridge and who uses it."""

    bridge: Bridge
    web: Registered
    programs: dict[str, Registered]  # by the algorithm of their tokens
    signing: SigningProgram
    people: int = 0
    sealed: str = ""
    _cards: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def tokens(self) -> AsyncIterator[Tokens]:
        """The bridge's own hand, in our process."""
        async with self.bridge.services() as services:
            await services.keyring.load()
            settings = OidcSettings(access_token_seconds=LIFE)
            yield Tokens(
                self.bridge.issuer, settings, services.keyring, services.vault, services.clock
            )

    async def populate(self, wanted: int) -> None:
        """At least so many people with sessions and grants."""
        if wanted > self.people:
            statements = people(self.people + 1, wanted, self.sealed, self.web.id)
            await execute(self.bridge.database_url, *statements)
            self.people = wanted

    def chosen(self, number: int) -> list[int]:
        """So many of the people, from everywhere."""
        return [1 + i * 7919 % self.people for i in range(number)]

    async def program_tokens(self, number: int) -> list[str]:
        """ES256, for the API under the guard."""
        client = self.programs["ES256"].client
        async with self.tokens() as tokens:
            return [tokens.for_program(client, "api:read", (AUDIENCE,))[0] for _ in range(number)]

    async def person_tokens(self, number: int) -> list[str]:
        async with self.tokens() as tokens:
            grants = [_grant(i, self.web.client) for i in self.chosen(number)]
            return [tokens.for_person(self.web.client, g, FULL_SCOPE)[0] for g in grants]

    async def refresh_tokens(self, number: int) -> list[str]:
        async with self.tokens() as tokens:
            return [tokens.refresh_token(f"grant{key(i)}", 0) for i in self.chosen(number)]

    async def waiting(self, number: int, asked_at: int = 0) -> list[bytes]:
        """A poll of each of so many logins that wait for their phones: a real one, whose rows are
        copied. `asked_at` is when the upstream was last asked about them."""
        browser, service = Browser(self.bridge), Service(self.bridge, self.web)
        await browser.open(service.url())
        await browser.press("continue", method="qr", pid=SILENT)
        stamp = f"{time.time_ns() % 10**6:06d}"
        login, one = f"'L{stamp}' || {SQL_KEY}", browser.login_id
        (attempt,) = await self.bridge.all(
            tables.logins.select().with_only_columns(tables.logins.c.attempt_id)
            .where(tables.logins.c.id == one)
        )  # fmt: skip
        own = f"'A{stamp}' || {SQL_KEY}"
        verification = {"id": own, "login_id": login, "asked_at": str(asked_at)}
        await execute(
            self.bridge.database_url,
            copied(tables.logins, {"id": login, "attempt_id": own}, one, 1, number),
            copied(tables.attempts, verification, attempt["attempt_id"], 1, number),
        )
        jar = browser.cookies[self.bridge.issuer.partition("//")[2]]
        cookies = "; ".join(f"{name}={value}" for name, value in jar.items())
        paths = (f"/login/L{stamp}{key(i)}/status" for i in range(1, number + 1))
        return [raw("GET", path, cookie=cookies) for path in paths]

    async def card_codes(self, number: int) -> list[tuple[str, str]]:
        """(card number, fresh binding code) of so many members."""
        async with self.bridge.services() as services:
            if len(self._cards) < number:
                self._cards = [f"0730{i:06d}" for i in range(number)]
                await directory_of(services).take_in(_sheet(self._cards), canonical)
            now, given = (
                services.clock.now(),
                [(card, codes.new()) for card in self._cards[:number]],
            )

            async def work(tx: Transaction) -> None:
                for card, code in given:
                    await codes.issue(tx, services.vault, card, code, now, now + 600)

            await services.database.write(work)
            return given


def _sheet(cards: Sequence[str]) -> list[str]:
    head = "card_number,name,gender,identity_type,organization\n"
    return [head, *(f"{card},王小明,男,用户,國家圖書館\n" for card in cards)]


def _grant(i: int, client: Client) -> Grant:
    return Grant(
        id=f"grant{key(i)}", client_id=client.client_id, person_id=f"p{key(i)}",
        number_index=key(i) + "0" * 47, number_sealed="", scope=tuple(FULL_SCOPE.split()),
        claims={}, nonce="n", acr="urn:twfido:qr", amr=("user",), auth_time=int(time.time()),
        expires_at=0, generation=0, rotated_at=None, refreshed_at=0, alive=True,
        session_alive=True,
    )  # fmt: skip


async def furnish(bridge: Bridge) -> Scene:
    """Three programs and a relying party, the same at every start."""
    programs = {
        alg: await bridge.register(
            client_name=alg, grant_types=("client_credentials",), scopes=("api:read", "api:write"),
            audience=(AUDIENCE,), roles=("basic",), access_token_alg=alg,
        )
        for alg in ("ES256", "RS256")
    }  # fmt: skip
    web = await bridge.register(
        client_name="館藏服務", agency="國家圖書館", redirect_uris=(CALLBACK,),
        grant_types=("authorization_code", "refresh_token"), scopes=tuple(FULL_SCOPE.split()),
    )  # fmt: skip
    signing = await SigningProgram.at(bridge)
    async with bridge.services() as services:
        return Scene(bridge, web, programs, signing, sealed=services.vault.seal("person", NUMBER))


def card_body(card: str, code: str) -> str:
    """The outer JSON of Tencent's call."""
    return wecard.body(wecard.sealed(wecard.plaintext(card, code))).decode()
