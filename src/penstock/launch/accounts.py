"""Who may use the server: the published account for development, or the accounts of a service."""

from __future__ import annotations

import base64
import binascii
import secrets
from pathlib import Path
from typing import Final

import msgspec

from penstock.config import Account
from penstock.domain.development import (
    DEVELOPMENT_KEY,
    DEVELOPMENT_NAME,
    DEVELOPMENT_SECOND_KEY,
)
from penstock.launch.exits import CannotStart, Exit
from penstock.launch.files import secret

_SHORTEST_KEY: Final = 16  # bytes
_PUBLISHED: Final = {base64.b64decode(key) for key in (DEVELOPMENT_KEY, DEVELOPMENT_SECOND_KEY)}


def development(storage: str) -> Account:
    """The account of `penstock up`."""
    keys = (DEVELOPMENT_KEY, DEVELOPMENT_SECOND_KEY)
    return Account(name=DEVELOPMENT_NAME, keys=keys, storage=storage)


def of_service(configured: tuple[Account, ...], storage: str, kept: Path) -> tuple[Account, ...]:
    """The accounts of `penstock serve`: those of the settings, else one made and kept in `kept`.

    `storage` is linked to each that names no storage of its own. Raises CannotStart for keys
    that must not guard a service.
    """
    accounts = configured or (_generated(kept),)
    for account in accounts:
        for key in account.keys:
            _check_key(account.name, key)
    names = [account.name for account in accounts]
    if len(set(names)) < len(names):
        raise CannotStart(Exit.USAGE, "two accounts have the same name")
    return tuple(
        msgspec.structs.replace(account, storage=account.storage or storage) for account in accounts
    )


def _generated(kept: Path) -> Account:
    name = f"batch{secrets.token_hex(4)}"
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    fresh = msgspec.json.encode(Account(name=name, keys=(key,)))
    return msgspec.json.decode(secret(kept, fresh), type=Account)


def _check_key(name: str, key: str) -> None:
    try:
        decoded = base64.b64decode(key, validate=True)
    except binascii.Error:
        raise CannotStart(Exit.USAGE, f"account {name}: a key is not base64") from None
    if decoded in _PUBLISHED:
        raise CannotStart(
            Exit.USAGE,
            f"account {name}: this key is a published development key, which everybody knows; "
            "`penstock serve` takes only a key of your own (`openssl rand -base64 64`)",
        )
    if len(decoded) < _SHORTEST_KEY:
        raise CannotStart(Exit.USAGE, f"account {name}: a key has fewer than {_SHORTEST_KEY} bytes")
