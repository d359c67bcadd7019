"""What is sealed comes out again with its key and name, and with nothing else."""

from __future__ import annotations

import pytest

from penstock.engine.vault import KEY_BYTES, NotOpened, Vault

VAULT = Vault(b"k" * KEY_BYTES)


def test_what_is_sealed_can_be_opened_and_not_be_read() -> None:
    sealed = VAULT.seal(b"secret", "it")

    assert VAULT.open(sealed, "it") == b"secret"
    assert b"secret" not in sealed
    assert sealed != VAULT.seal(b"secret", "it"), "nobody sees that two are equal"
    assert VAULT.open(VAULT.seal(b"", "it"), "it") == b""


def test_nothing_else_opens_it() -> None:
    sealed = VAULT.seal(b"secret", "it")
    damaged = bytes([*sealed[:-1], sealed[-1] ^ 1])

    for vault, content, name in (
        (Vault(b"x" * KEY_BYTES), sealed, "it"),
        (VAULT, sealed, "another"),
        (VAULT, damaged, "it"),
        (VAULT, sealed[:5], "it"),
        (VAULT, b"\2" + sealed[1:], "it"),
        (VAULT, b"", "it"),
    ):
        with pytest.raises(NotOpened):
            vault.open(content, name)


def test_a_key_has_its_length() -> None:
    with pytest.raises(ValueError, match="has 3 bytes"):
        Vault(b"key")
