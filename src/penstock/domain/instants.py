"""Points in time and lengths of time.

An instant is an ``int``: microseconds since 1970-01-01 UTC. It is exact, ordered and cheap to
store a million times; names that hold one end in ``_us``. A :class:`Duration` counts ticks of
100 nanoseconds, the unit of the wire, because the wire's "no limit" is the largest number of
ticks that fit in 63 bits and must come back to the client digit for digit.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICKS_AT_EPOCH: Final = 621_355_968_000_000_000  # ticks from year 1 to 1970, as ETags count
_TICKS_PER_SECOND: Final = 10_000_000

_FIRST_SECOND: Final = -62_135_596_800  # of the year 1
_LAST_SECOND: Final = 253_402_300_799  # of the year 9999

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US


@lru_cache(maxsize=4096)
def _second_text(seconds: int) -> str:
    told = min(max(seconds, _FIRST_SECOND), _LAST_SECOND)
    return (_EPOCH + timedelta(seconds=told)).isoformat()[:19]


def instant_text(at_us: int) -> str:
    """Write an instant as the wire does: ``2020-11-24T20:49:42.4612830Z``, always 7 digits.

    One that is not in the years 1 to 9999, as the next run of a schedule that recurs after a
    thousand years, is written as the nearest second that is.
    """
    seconds, rest = divmod(at_us, SECOND_US)
    return f"{_second_text(seconds)}.{rest:06d}0Z"


_INSTANT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?\s*([Zz]|[+-]\d\d:?\d\d)?)?"
)


def instant(text: str) -> int:
    """Read ISO 8601 with any number of fractional digits; no offset means UTC.

    A date alone is its first instant. Raises ValueError for anything else.
    """
    match = _INSTANT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an ISO 8601 date and time")
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    at = datetime(
        int(year),
        int(month),
        int(day),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        tzinfo=UTC,
    )
    micros = int(((fraction or "") + "000000")[:6])
    if offset and offset not in "Zz":
        sign = -1 if offset[0] == "-" else 1
        digits = offset[1:].replace(":", "")
        at -= sign * timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return int((at - _EPOCH) / timedelta(seconds=1)) * SECOND_US + micros


def from_datetime(at: datetime) -> int:
    """Convert an aware datetime."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def http_date(at_us: int) -> str:
    """Write an instant as RFC 1123 with whole seconds, as ``Last-Modified`` wants it."""
    return format_datetime(_EPOCH + timedelta(seconds=at_us // SECOND_US), usegmt=True)


def etag_text(modified_us: int) -> str:
    """Give the entity tag of a resource changed at `modified_us`: ``0x`` and the ticks in hex."""
    return f"0x{_TICKS_AT_EPOCH + modified_us * 10:X}"


_DURATION: Final = re.compile(
    r"(?P<sign>-)?[Pp](?:(?P<days>\d+)[Dd])?"
    r"(?:[Tt](?:(?P<hours>\d+)[Hh])?(?:(?P<minutes>\d+)[Mm])?"
    r"(?:(?P<seconds>\d+)(?:\.(?P<fraction>\d{1,9}))?[Ss])?)?"
)


_ZERO: Final = ("P", "PT")
"""How the newest SDK writes a duration of nothing."""


class Duration:
    """A length of time in ticks of 100 ns; `INFINITE` stands for "no limit"."""

    __slots__ = ("ticks",)

    def __init__(self, ticks: int) -> None:
        self.ticks = ticks

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read ``PT15M``, ``P7D``, ``PT01H00M00S``, ``P1DT2H``, ``PT0.5S``.

        Anything beyond `INFINITE` becomes it. Raises ValueError for other text, also for
        months and years, whose length is not fixed.
        """
        match = _DURATION.fullmatch(text.strip())
        if match is None or not (any(map(str.isdigit, text)) or text.upper() in _ZERO):
            raise ValueError(f"{text!r} is not an ISO 8601 duration")
        part = {
            name: int(value or 0)
            for name, value in match.groupdict().items()
            if name not in ("sign", "fraction")
        }
        seconds = ((part["days"] * 24 + part["hours"]) * 60 + part["minutes"]) * 60 + part[
            "seconds"
        ]
        ticks = seconds * _TICKS_PER_SECOND + int(((match["fraction"] or "") + "0000000")[:7])
        return cls(min(-ticks if match["sign"] else ticks, _MOST_TICKS))

    @classmethod
    def of_seconds(cls, seconds: int) -> Duration:
        """Make a duration of whole seconds."""
        return cls(seconds * _TICKS_PER_SECOND)

    @property
    def infinite(self) -> bool:
        """Whether this means "no limit"."""
        return self.ticks >= _MOST_TICKS

    @property
    def micros(self) -> int | None:
        """The length in microseconds, or None when infinite."""
        return None if self.infinite else self.ticks // 10

    def __str__(self) -> str:
        ticks = abs(self.ticks)
        seconds, fraction = divmod(ticks, _TICKS_PER_SECOND)
        minutes, second = divmod(seconds, 60)
        hours, minute = divmod(minutes, 60)
        days, hour = divmod(hours, 24)
        date = f"{days}D" if days else ""
        clock = (f"{hour}H" if hour else "") + (f"{minute}M" if minute else "")
        if second or fraction:
            clock += str(second) + (f".{fraction:07d}".rstrip("0") if fraction else "") + "S"
        if not date and not clock:
            clock = "0S"
        return ("-" if self.ticks < 0 else "") + "P" + date + ("T" + clock if clock else "")

    def __repr__(self) -> str:
        return f"Duration({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and other.ticks == self.ticks

    def __lt__(self, other: Duration) -> bool:
        return self.ticks < other.ticks

    def __hash__(self) -> int:
        return hash(self.ticks)


_MOST_TICKS: Final = 2**63 - 1
INFINITE: Final = Duration(_MOST_TICKS)
"""No limit; written ``P10675199DT2H48M5.4775807S``."""
