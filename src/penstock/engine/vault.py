"""What users trust us with and nobody is shown again, sealed before it reaches the disk.

The key lies in the data directory, beside the database and not in it: a copy of the database
alone gives nothing away. AES in GCM takes the name of the thing with it, so that what is sealed
for one cannot be put in the place of another.
"""

from __future__ import annotations

import secrets
from typing import Final

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_FORM: Final = b"\x01"
"""How the rest is to be read; a later release may seal in another way."""


class NotOpened(Exception):
    """Something was sealed with another key or for another thing, or is damaged."""


class Vault:
    """Seals and opens with one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key has {len(key)} bytes, and not {KEY_BYTES}")
        self._key = key

    def seal(self, plain: bytes, name: str) -> bytes:
        """Seal something for the thing of that name. Nothing comes out the same twice."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _FORM + nonce + AESGCM(self._key).encrypt(nonce, plain, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """Give what was sealed for the thing of that name. Raises NotOpened."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        head = len(_FORM) + _NONCE_BYTES
        if len(sealed) <= head or not sealed.startswith(_FORM):
            raise NotOpened("it is not in a form that this release knows")
        try:
            return AESGCM(self._key).decrypt(
                sealed[len(_FORM) : head], sealed[head:], name.encode()
            )
        except InvalidTag:
            raise NotOpened("it was sealed with another key or for another thing") from None
