"""The api-versions that this service speaks: the one table."""

from __future__ import annotations

from typing import Final

from penstock.domain.refusals import MissingRequiredQueryParameter, UnsupportedRequestVersion

WIDE_PATCH: Final = "2024-07-01.20.0"
"""From here on nodes start and deallocate, and jobs end by force."""

NEWEST: Final = "2025-06-01"

VERSIONS: Final[tuple[str, ...]] = ("2024-02-01.19.0", WIDE_PATCH, NEWEST)
"""Oldest first. Names and values of all of them agree in what this service reads and writes."""

_RANKS: Final = {version: rank for rank, version in enumerate(VERSIONS)}


def checked(version: str | None) -> str:
    """Give the api-version of a request, or refuse it."""
    if version in _RANKS:
        return version
    if not version:
        raise MissingRequiredQueryParameter(QueryParameterName="api-version")
    raise UnsupportedRequestVersion(
        QueryParameterName="api-version",
        QueryParameterValue=version[:64],
        Reason=f"this service speaks {', '.join(VERSIONS)}",
    )


def covers(version: str, since: str | None, until: str | None) -> bool:
    """Say whether something that came with `since` and left after `until` is in `version`."""
    rank = _RANKS[version]
    return (since is None or _RANKS[since] <= rank) and (until is None or rank <= _RANKS[until])
