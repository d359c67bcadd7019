"""Secrets that clients cannot send back, because they were never shown them.

SDKs read a job or a job schedule, change a part of it and send the whole back. A part that comes
back as it was shown is the one that is stored, with its secrets; any other part is taken as it is.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from penstock.domain.specs.common import Spec
from penstock.wire.answers import encoded
from penstock.wire.shown import shown_spec, without_secrets

_ENUMERATIONS: Final = {"elevationLevel", "loginMode", "workingDirectory"}
"""Those that stand beside a secret."""


def with_secrets(document: bytes, stored: Spec | None) -> bytes:
    """Give a body the secrets of the parts that came back as they were shown.

    One that cannot be read is given back as it is, for who reads it says what is wrong.
    """
    if stored is None:
        return document
    old = shown_spec(stored)
    if without_secrets(old) == old:
        return document
    try:
        new = msgspec.json.decode(document)
        return encoded(_restored(new, old))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return document


def _restored(new: Any, old: Any) -> Any:
    if _alike(new, without_secrets(old)):
        return old
    match new, old:
        case dict(), dict():
            return {
                name: _restored(part, old[name]) if name in old else part
                for name, part in new.items()
            }
        case list(), list():
            return [_item(part, old) for part in new]
    return new


def _item(new: Any, old: list[Any]) -> Any:
    """An item of a list has no name: it is the one that looked like it."""
    return next((item for item in old if _alike(new, without_secrets(item))), new)


def _alike(new: Any, shown: Any) -> bool:
    """Whether both say the same. Null is absent, and so may be a part that has a secret alone;
    clients spell enumerations as they like."""
    match new, shown:
        case dict(), dict():
            return all(
                _alike(new.get(name), shown.get(name))
                if name not in _ENUMERATIONS
                else str(new.get(name)).lower() == str(shown.get(name)).lower()
                for name in new.keys() | shown.keys()
            )
        case list(), list():
            return len(new) == len(shown) and all(map(_alike, new, shown))
    return bool(new == shown) or (new is None and shown == {})
