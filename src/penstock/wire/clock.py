"""The clock of the service: how far it is ahead of the machine's, and moving it on.

This is an extension, for those who try out schedules, retention and limits of time.
"""

from __future__ import annotations

from typing import Any, Final

from penstock.domain.instants import Duration, instant_text
from penstock.domain.refusals import ClockIsFixed
from penstock.domain.specs.common import Spec
from penstock.wire.answers import JSON_TYPE, Answer, encoded
from penstock.wire.request import Request
from penstock.wire.specs.bodies import body_of, missing, wrong

MOST_DAYS: Final = 3650
_MOST_US: Final = MOST_DAYS * 86_400 * 1_000_000
_RANGE: Final = (
    "must be a duration such as PT6H or P7D, longer than PT0S, and together with all advances"
    f" before it P{MOST_DAYS}D at most"
)


class Advance(Spec, frozen=True, kw_only=True):
    """How far the clock is to be moved on."""

    advance: Any = None


async def get_clock(request: Request) -> Answer:
    """GET /clock"""
    return _shown(request)


async def advance_clock(request: Request) -> Answer:
    """POST /clock: answers when all is done that the time would have brought."""
    wanted = body_of(Advance, await request.json_body(), optional=True).advance
    if not request.settings.emulator:
        raise ClockIsFixed
    if wanted is None:
        raise missing("advance")
    us = _micros(wanted)
    if us is None or not request.service.clock.may_advance(us, _MOST_US):
        raise wrong("advance", wanted, _RANGE)
    await request.service.clock.advance(us)
    return _shown(request)


def _micros(wanted: object) -> int | None:
    """The length of an advance; None for what is none."""
    try:
        us = Duration.parse(wanted).micros if isinstance(wanted, str) else None
    except ValueError:
        return None
    return us if us is not None and us > 0 else None


def _shown(request: Request) -> Answer:
    clock = request.service.clock
    body = {
        "now": instant_text(clock.now_us()),
        "offset": str(Duration(10 * clock.offset_us)),
        "advancing": clock.is_advancing,
        "advanceable": request.settings.emulator,
    }
    return Answer(200, {"Content-Type": JSON_TYPE}, encoded(body))
