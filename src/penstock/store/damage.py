"""What becomes of a read that meets damage: a refusal that knows its cause.

SQLite tells of pages that make no sense. What lies within a page it does not look at, so cells
that no release ever wrote are damage too: documents that are none, states that there are not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

import msgspec

from penstock.domain.unreadable import Unreadable
from penstock.store.contract import StoreDamaged, StoreRefused
from penstock.store.sqlite_file import is_damage, refusal

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Read = Callable[_P, Coroutine[Any, Any, _T]]

_FAILURES: Final = (sqlite3.Error, msgspec.MsgspecError, KeyError)
_OURS: Final = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.NotSupportedError)


def answered(read: _Read[_P, _T]) -> _Read[_P, _T]:
    """A read for somebody who waits: raises Unreadable."""

    @wraps(read)
    async def answer(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return await read(*args, **kwargs)
        except _FAILURES as error:
            if _is_ours(error):
                raise
            damaged = not isinstance(error, sqlite3.Error) or is_damage(error)
            raise Unreadable(_shown(error), damaged=damaged) from error

    return answer


def loaded(read: _Read[_P, _T]) -> _Read[_P, _T]:
    """A read without which there is no start: raises StoreRefused."""

    @wraps(read)
    async def load(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return await read(*args, **kwargs)
        except _FAILURES as error:
            raise _refusal(error) from error

    return load


def loaded_rows(rows: Iterator[_T]) -> Iterator[_T]:
    """The same for rows that are read as they are asked for."""
    try:
        yield from rows
    except _FAILURES as error:
        raise _refusal(error) from error


def _refusal(error: Exception) -> StoreRefused:
    if isinstance(error, sqlite3.Error):
        return refusal(error)
    return StoreDamaged(f"it is damaged: a row cannot be understood: {_shown(error)}")


def _is_ours(error: Exception) -> bool:
    """Whether the statement was wrong, and not what it should have found."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, _OURS) or code == sqlite3.SQLITE_ERROR


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
