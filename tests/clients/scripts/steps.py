"""The script's side of a walk: says what it is about to do, waits, does it, says what came of it.

Written for every Python that a client may need, from 3.8 on.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

ENDPOINT = os.environ["BATCH_ENDPOINT"]
ACCOUNT = os.environ["BATCH_ACCOUNT"]
KEY = os.environ["BATCH_KEY"]

_OUT = sys.stdout
sys.stdout = sys.stderr  # what a client prints is no line of ours


def _say(**said: Any) -> None:
    _OUT.write(json.dumps(said) + "\n")
    _OUT.flush()


def _told(**said: Any) -> None:
    """Say it, and wait until it was heard: what is asked next is not of this step."""
    _say(**said)
    sys.stdin.readline()


def step(name: str, call: Callable[[], Any], code_of: Callable[[Exception], str | None]) -> Any:
    """Do one step and give its answer, or None where it failed."""
    _told(begin=name)
    try:
        answer = call()
    except Exception as error:  # whatever a client raises is what the walk is to find out
        code = code_of(error)
        _told(end=name, failure=code or _described(error), code=code or "")
        return None
    _told(end=name)
    return answer


def _described(error: Exception) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"


def check(what: str, good: bool, seen: object = "") -> None:
    """Complain where something is not as it has to be; the walk goes on."""
    if not good:
        _say(check=what, seen=str(seen)[:1500])


def go(part: Callable[..., Any], *words: Any) -> None:
    """Walk a part of the way; where it leads nowhere, complain and leave the rest of it out."""
    try:
        part(*words)
    except Exception:  # the other parts are worth their walk all the same
        check(f"all of {part.__name__}", False, traceback.format_exc()[-1500:])


def until(
    what: str,
    ask: Callable[[], Any],
    within_s: float = 30.0,
    seen: Callable[[], Any] | None = None,
) -> Any:
    """Ask until the answer is true; complain when it never is. Not a step of its own."""
    end = time.monotonic() + within_s
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            check(f"within {within_s} s: {what}", False, seen() if seen else answer)
            return answer
        time.sleep(0.05)
