"""Who may use the server: the published account for development, or the accounts of a service."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

import msgspec

from penstock.config import Account
from penstock.domain.development import (
    DEVELOPMENT_KEY,
    DEVELOPMENT_NAME,
    DEVELOPMENT_SECOND_KEY,
)
from penstock.launch.account_keys import KeptKeys
from penstock.launch.datadir import Layout
from penstock.launch.exits import CannotStart, Exit

_SHORTEST_KEY: Final = 16  # bytes
_PUBLISHED: Final = {base64.b64decode(key) for key in (DEVELOPMENT_KEY, DEVELOPMENT_SECOND_KEY)}


@dataclass(frozen=True, slots=True)
class Users:
    """The accounts of a server.

    `kept` names those whose keys the server made; `fresh` those for whom that was just now, so
    that somebody has to be told.
    """

    accounts: tuple[Account, ...]
    kept: frozenset[str] = frozenset()
    fresh: frozenset[str] = frozenset()


def development(storage: str) -> Users:
    """The account of `penstock up`, whose keys everybody may be told."""
    keys = (DEVELOPMENT_KEY, DEVELOPMENT_SECOND_KEY)
    account = Account(name=DEVELOPMENT_NAME, keys=keys, storage=storage)
    return Users((account,), fresh=frozenset({account.name}))


def of_service(configured: tuple[Account, ...], storage: str, layout: Layout) -> Users:
    """The accounts of `penstock serve`: those of the settings, else one made and kept.

    `storage` is linked to each that names no storage of its own. Raises CannotStart for keys
    that must not guard a service.
    """
    names = [account.name for account in configured]
    if len(set(names)) < len(names):
        raise CannotStart(Exit.USAGE, "two accounts have the same name")
    for account in configured:
        for key in account.keys:
            _check_key(account.name, key)
    keys = KeptKeys(layout)
    accounts = tuple(_with_keys(account, keys) for account in configured) or (keys.generated(),)
    kept = {account.name for account in configured if not account.keys}
    return Users(
        tuple(
            msgspec.structs.replace(account, storage=account.storage or storage)
            for account in accounts
        ),
        frozenset(kept if configured else {accounts[0].name}),
        frozenset(keys.made),
    )


def _with_keys(account: Account, keys: KeptKeys) -> Account:
    if account.keys:
        return account
    return msgspec.structs.replace(account, keys=keys.of(account.name))


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
