"""Client secrets and ids: recognised by scanners, safe everywhere, accepted while they live."""

from __future__ import annotations

import zlib

import pytest

from idp.registry.clients import Client
from idp.registry.metadata import CLIENT_ID
from idp.registry.registration import Registration
from idp.registry.secrets import Secret, new_secret

PROGRAM = Registration(client_name="程式", grant_types=("client_credentials",))


def test_secrets_are_recognised() -> None:
    """Prefix, 256 random bits, checksum: a scanner can tell a leaked one from noise, and a typing
    mistake from a wrong one."""
    found = {new_secret() for _ in range(100)}
    assert len(found) == 100
    for secret in found:
        assert secret.startswith("twf_")
        body, _, mark = secret.removeprefix("twf_").rpartition("_")
        assert len(body) == 43
        assert mark == f"{zlib.crc32(body.encode()):08x}"
        assert secret.isascii()
        assert not set(secret) & set("%+&=: /\"'")


def test_which_secrets_are_known() -> None:
    """Live ones, until the second their overlap ends."""
    client = Client("c", PROGRAM, (Secret("old", 100), Secret("new", None)), disabled=False)
    assert client.knows("new", 10**10)
    assert client.knows("old", 99)
    assert not client.knows("old", 100)
    assert not client.knows("", 0)
    assert not client.knows("other", 0)


@pytest.mark.parametrize("client_id", ["", "a b", "a/b", "圖", "a\n", "a" * 101, "a\x00", "a:b"])
def test_client_ids_that_are_none(client_id: str) -> None:
    """Safe in URLs, headers, logs and Basic without encoding."""
    assert not CLIENT_ID.match(client_id)
