"""Data at rest: what is sealed opens only here, for its purpose, unchanged."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.kernel.vault import (
    Vault,
    VaultBroken,
    digest,
    master_key_from_directory,
    parse_master_key,
)

VAULT = Vault(bytes(range(32)))
OTHER = Vault(bytes(32))


@given(st.binary(max_size=300), st.sampled_from(["person", "member", "電子", ""]))
def test_what_is_sealed_opens_again(value: bytes, purpose: str) -> None:
    """Any bytes, under any purpose; the text is safe in URLs."""
    sealed = VAULT.seal(purpose, value)
    assert sealed.replace("-", "").replace("_", "").replace(".", "").isalnum()
    assert VAULT.open(purpose, sealed) == value


def test_the_same_is_never_sealed_alike() -> None:
    """Nobody sees that two rows hold the same number."""
    assert len({VAULT.seal("person", "A123456789") for _ in range(100)}) == 100


@pytest.mark.parametrize("vault", [OTHER, VAULT], ids=["another key", "another purpose"])
def test_it_opens_nowhere_else(vault: Vault) -> None:
    """Neither with another master key nor for another purpose."""
    with pytest.raises(VaultBroken):
        vault.open("member" if vault is VAULT else "person", VAULT.seal("person", "x"))


@given(st.data())
def test_one_changed_character_breaks_it(data: st.DataObject) -> None:
    """Change, cut or extend it: it does not open."""
    sealed = SEALED
    at = data.draw(st.integers(0, len(sealed) - 2))
    other = data.draw(st.sampled_from([c for c in "ABCabc012-_" if c != sealed[at]]))
    for broken in (sealed[:at] + other + sealed[at + 1 :], sealed[:at], sealed + "AAAA"):
        with pytest.raises(VaultBroken):
            VAULT.open("person", broken)


@pytest.mark.parametrize("text", ["", "A", "AAAA", "!!!!", "電子", "A" * 37, "\x00"])
def test_what_was_never_sealed(text: str) -> None:
    """Whatever is in the column, it is VaultBroken and no other error."""
    with pytest.raises(VaultBroken):
        VAULT.open("person", text)


def test_purposes_share_no_key() -> None:
    """Index, mark and secret of one name, and of several names, have nothing in common."""
    made = {
        VAULT.index("a", "x"),
        VAULT.index("b", "x"),
        VAULT.index("a", "y"),
        VAULT.mac("a", "x"),
        VAULT.mac("b", "x"),
        VAULT.secrets("a")[0].hex(),
        VAULT.secrets("b")[0].hex(),
        OTHER.index("a", "x"),
        OTHER.mac("a", "x"),
        digest("x"),
    }
    assert len(made) == 10


def test_marks_are_stable() -> None:
    """Subjects, indexes and refresh tokens must survive an upgrade: these values never change."""
    assert VAULT.index("person", "A123456789") == INDEX
    assert VAULT.mac("sub", "sector\nindex") == MARK
    assert VAULT.open_text("person", SEALED) == "A123456789"


INDEX = "88e559770c666dde5e21ee45c2c9e14c73615ecb804b5b173f0f0b1e179a3d26"
MARK = "yz5O9b__W52LChGTybj-x-BDat8IoE35uChhq_gbwoo"
SEALED = "CYOux_0ty0RMa3iOec-hnW6-uwG0umf8YJ0xJxzYAyEVBTc4y74"


def test_a_value_names_its_key() -> None:
    """Two master keys at once: each opens what it sealed, the newer one seals, and a value under a
    key that is gone is told from one that was changed."""
    both = Vault(bytes(range(32)), [bytes(32)])
    of_old, of_new = OTHER.seal("person", "x"), both.seal("person", "y")
    assert (both.open_text("person", of_old), both.open_text("person", of_new)) == ("x", "y")
    assert of_new.startswith(both.current + ".") and not of_old.startswith(both.current)
    with pytest.raises(VaultBroken, match="unknown master key"):
        VAULT.open("person", of_old)


def test_marks_hang_on_the_root_alone() -> None:
    """Another master key with the same root finds the same persons and makes the same subjects."""
    one, two = Vault(bytes(32)), Vault(bytes([7] * 32))
    for vault in (one, two):
        vault.use_root(bytes([9] * 32))
    assert one.index("person", "A123456789") == two.index("person", "A123456789")
    assert one.mac("sub", "x") == two.mac("sub", "x")
    assert two.open_text("address", one.seal_for_good("address", "203.0.113.7")) == "203.0.113.7"


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_master_key_has_256_bits(size: int) -> None:
    """Not fewer, not more."""
    with pytest.raises(ValueError, match="32 bytes"):
        Vault(bytes(size))


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 31, "00" * 33, "電" * 64])
def test_master_keys_that_are_none(text: str) -> None:
    """64 hex digits, and the message says how to make some."""
    with pytest.raises(ValueError, match="openssl rand -hex 32"):
        parse_master_key(text)


def test_a_master_key_as_text() -> None:
    """Case and white space around it do not matter: it comes from files."""
    assert parse_master_key("  " + "aB" * 32 + "\n") == bytes([0xAB] * 32)


# ── the embedded default ────────────────────────────────────────────────────────────────────────


def test_it_is_made_once(tmp_path: Path) -> None:
    """On first start, for our account alone; then it is the same for ever."""
    folder = tmp_path / "a" / "keys"
    key = master_key_from_directory(folder)
    assert len(key) == 32
    assert master_key_from_directory(folder) == key
    assert [file.name for file in folder.iterdir()] == ["master.key"]
    assert stat.S_IMODE((folder / "master.key").stat().st_mode) == 0o600
    assert master_key_from_directory(tmp_path / "b") != key


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_others_must_not_read_it(tmp_path: Path, mode: int) -> None:
    """A key that others can read is refused, with the command that helps."""
    master_key_from_directory(tmp_path)
    (tmp_path / "master.key").chmod(mode)
    with pytest.raises(PermissionError, match="chmod 600"):
        master_key_from_directory(tmp_path)


def test_a_broken_file_is_not_replaced(tmp_path: Path) -> None:
    """A new key would make everything sealed before unreadable."""
    file = tmp_path / "master.key"
    file.write_text("")
    file.chmod(0o600)
    with pytest.raises(ValueError, match="64 hex digits"):
        master_key_from_directory(tmp_path)
    assert file.read_text() == ""


def _start(folder: str, found: multiprocessing.Queue[bytes]) -> None:
    found.put(master_key_from_directory(Path(folder)))


def test_many_first_starts_at_once(tmp_path: Path) -> None:
    """Whichever process is first, all have its key."""
    context = multiprocessing.get_context("fork")
    found: multiprocessing.Queue[bytes] = context.Queue()
    processes = [
        context.Process(target=_start, args=(os.fspath(tmp_path), found)) for _ in range(8)
    ]
    for process in processes:
        process.start()
    keys = {found.get(timeout=20) for _ in processes}
    for process in processes:
        process.join()
    assert len(keys) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["master.key"]
