"""The api-versions that this service speaks, in order."""

from __future__ import annotations

from typing import Final

from penstock.domain.refusals import MissingRequiredQueryParameter, UnsupportedRequestVersion

V2_2: Final = "2015-12-01.2.2"
V3_0: Final = "2016-02-01.3.0"
V3_1: Final = "2016-07-01.3.1"
V4_0: Final = "2017-01-01.4.0"
V5_0: Final = "2017-05-01.5.0"
V5_1: Final = "2017-06-01.5.1"
V6_0: Final = "2017-09-01.6.0"
V6_1: Final = "2018-03-01.6.1"
V7: Final = "2018-08-01.7.0"
V8: Final = "2018-12-01.8.0"
V9: Final = "2019-06-01.9.0"
V10: Final = "2019-08-01.10.0"
V11: Final = "2020-03-01.11.0"
V12: Final = "2020-09-01.12.0"
V14: Final = "2021-06-01.14.0"
V15: Final = "2022-01-01.15.0"
V16: Final = "2022-10-01.16.0"
V17: Final = "2023-05-01.17.0"
V18: Final = "2023-11-01.18.0"
V19: Final = "2024-02-01.19.0"
V20: Final = "2024-07-01.20.0"
NEWEST: Final = "2025-06-01"

VERSIONS: Final[tuple[str, ...]] = (
    *(V2_2, V3_0, V3_1, V4_0, V5_0, V5_1, V6_0, V6_1, V7, V8, V9, V10),
    *(V11, V12, V14, V15, V16, V17, V18, V19, V20, NEWEST),
)
"""Oldest first."""

WIDE_PATCH: Final = V20
"""From here on nodes start and deallocate, jobs end by force, and most of a pool can change."""

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
        Reason=f"this service speaks those from {VERSIONS[0]} to {NEWEST}",
    )


def covers(version: str, since: str | None, until: str | None) -> bool:
    """Say whether something that came with `since` and left after `until` is in `version`."""
    rank = _RANKS[version]
    return (since is None or _RANKS[since] <= rank) and (until is None or rank <= _RANKS[until])


def is_after(version: str, last: str | None) -> bool:
    """Say whether `version` is newer than `last`; nothing is newer than no version at all."""
    return last is not None and _RANKS[version] > _RANKS[last]
