"""The keys of accounts that the server made itself: two for each, kept in the data directory.

An account whose keys the settings name is none of these. A key is replaced by `penstock account
regenerate`, which only changes a file; a server that runs sees that and takes the new key.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from penstock.config import Account
from penstock.launch.datadir import Layout
from penstock.launch.exits import CannotStart, Exit
from penstock.launch.files import write_atomically

log = logging.getLogger("penstock.server")

LOOK_EVERY_S: Final = 1.0

Keys = Mapping[str, tuple[str, ...]]
"""By the name of the account, the first key and the second."""

_KEY_BYTES: Final = 64
_KEYS: Final = msgspec.json.Decoder(dict[str, tuple[str, str]])
_ACCOUNT: Final = msgspec.json.Decoder(Account)


NAMES: Final = ("primary", "secondary")
"""What the two keys of an account are called."""


def new_key() -> str:
    """A key that nobody guesses."""
    return base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


class KeptKeys:
    """The two files with keys. `made` has the names of accounts that got keys just now."""

    def __init__(self, layout: Layout) -> None:
        self._account = layout.generated_account
        self._keys = layout.account_keys
        self.made: set[str] = set()

    def generated(self) -> Account:
        """The account of a server whose settings name none, made at first use."""
        try:
            account = _ACCOUNT.decode(self._account.read_bytes())
        except FileNotFoundError:
            account = Account(name=f"batch{secrets.token_hex(4)}", keys=(new_key(),))
            self.made.add(account.name)
        except msgspec.DecodeError as error:
            raise _unreadable(self._account, error) from None
        if len(account.keys) < 2:
            account = msgspec.structs.replace(account, keys=(*account.keys, new_key()))
            write_atomically(self._account, msgspec.json.encode(account))
        return account

    def of(self, name: str) -> tuple[str, ...]:
        """The keys of an account that the settings name without keys, made at first use."""
        kept = dict(self._read_keys())
        if name not in kept:
            kept[name] = (new_key(), new_key())
            self.made.add(name)
            write_atomically(self._keys, msgspec.json.encode(kept))
        return kept[name]

    def all(self) -> Keys:
        """All keys that are kept. Raises CannotStart for a file that is none of ours."""
        kept = dict(self._read_keys())
        if self._account.exists():
            account = self.generated()
            kept[account.name] = account.keys
        return kept

    def replace(self, name: str, which: str) -> None:
        """Replace the key of this name of an account that is there."""
        fresh = new_key()

        def changed(keys: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(fresh if name == which else key for name, key in _named(keys))

        kept = dict(self._read_keys())
        if name in kept:
            kept[name] = changed(kept[name])
            write_atomically(self._keys, msgspec.json.encode(kept))
        else:
            account = self.generated()
            account = msgspec.structs.replace(account, keys=changed(account.keys))
            write_atomically(self._account, msgspec.json.encode(account))

    def version(self) -> tuple[object, ...]:
        """Something that changes when the files do."""
        return tuple(map(_version, (self._account, self._keys)))

    def _read_keys(self) -> Keys:
        try:
            return _KEYS.decode(self._keys.read_bytes())
        except FileNotFoundError:
            return {}
        except msgspec.DecodeError as error:
            raise _unreadable(self._keys, error) from None


def _named(keys: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    return zip(NAMES, keys, strict=True)


def _unreadable(file: Path, error: Exception) -> CannotStart:
    return CannotStart(Exit.USAGE, f"{file} has no keys of accounts: {error}")


def _version(file: Path) -> object:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


@dataclass(frozen=True, slots=True)
class Shown:
    """The keys of an account, for who asked for them."""

    account: str
    keys: tuple[str, ...]
    replaced: str | None = None

    def document(self) -> dict[str, Any]:
        """What programs are told; the names are Azure's."""
        return {"accountName": self.account, **dict(_named(self.keys))}

    def text(self) -> str:
        """What a person is told."""
        rows = [("account", self.account), *_named(self.keys)]
        return "".join(
            f"{name:<10} {value}{'  (new)' if name == self.replaced else ''}\n"
            for name, value in rows
        )


def shown(root: Path, name: str | None) -> Shown:
    """The keys of an account. Raises CannotStart where none are kept."""
    keys = KeptKeys(Layout(root)).all()
    account = _chosen(keys, name, root)
    return Shown(account, keys[account])


def regenerated(root: Path, name: str | None, which: str) -> Shown:
    """Replace one key of an account. Raises CannotStart where none are kept."""
    kept = KeptKeys(Layout(root))
    account = _chosen(kept.all(), name, root)
    kept.replace(account, which)
    return Shown(account, kept.all()[account], which)


def _chosen(kept: Keys, name: str | None, root: Path) -> str:
    """The account that a command is about: the named one, or the only one there is."""
    if name is not None and name in kept:
        return name
    if name is None and len(kept) == 1:
        return next(iter(kept))
    if not kept:
        raise CannotStart(
            Exit.USAGE,
            f"{root} keeps no keys of accounts: those of `penstock serve` may be in its settings,"
            " and those of `penstock up` are published",
        )
    why = "name one of its accounts" if name is None else f"keeps no keys of {name}, but of"
    raise CannotStart(Exit.USAGE, f"{root}: {why}: {', '.join(sorted(kept))}")


async def watch(kept: KeptKeys, names: frozenset[str], change: Callable[[Keys], None]) -> None:
    """Call `change` with the keys of these accounts whenever they were changed."""
    seen = kept.version()
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        found = kept.version()
        if found == seen:
            continue
        seen = found
        try:
            keys = {name: keys for name, keys in kept.all().items() if name in names}
        except (CannotStart, OSError) as error:
            log.warning("account_keys_unreadable reason=%s", error)
            continue
        change(keys)
        log.info("account_keys_changed accounts=%s", ",".join(sorted(keys)))
