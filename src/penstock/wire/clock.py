"""The clock of the service: how far it is ahead of the machine's, and moving it on.

This is an extension, for those who try out schedules, retention and limits of time.
"""

from __future__ import annotations

from typing import Final

from penstock.domain.instants import Duration, instant_text
from penstock.domain.refusals import ClockIsFixed
from penstock.domain.specs.common import Spec
from penstock.wire.answers import JSON_TYPE, Answer, encoded
from penstock.wire.bodies import body_of, wrong
from penstock.wire.request import Request

MOST_DAYS: Final = 3650
_MOST_US: Final = MOST_DAYS * 86_400 * 1_000_000


class Advance(Spec, frozen=True, kw_only=True):
    """How far the clock is to be moved on."""

    advance: Duration


async def get_clock(request: Request) -> Answer:
    """GET /clock"""
    return _shown(request)


async def advance_clock(request: Request) -> Answer:
    """POST /clock: answers when all is done that the time would have brought."""
    wanted = body_of(Advance, await request.json_body())
    if not request.settings.emulator:
        raise ClockIsFixed
    us = wanted.advance.micros
    if us is None or not 0 < us <= _MOST_US:
        raise _out_of_range(wanted.advance)
    if not request.service.clock.may_advance(us, _MOST_US):
        raise _out_of_range(wanted.advance)
    await request.service.clock.advance(us)
    return _shown(request)


def _out_of_range(value: Duration) -> Exception:
    reason = f"must be longer than PT0S, and P{MOST_DAYS}D at most with all advances before it"
    return wrong("advance", str(value), reason)


def _shown(request: Request) -> Answer:
    clock = request.service.clock
    body = {
        "now": instant_text(clock.now_us()),
        "offset": str(Duration(10 * clock.offset_us)),
        "advancing": clock.is_advancing,
        "advanceable": request.settings.emulator,
    }
    return Answer(200, {"Content-Type": JSON_TYPE}, encoded(body))
