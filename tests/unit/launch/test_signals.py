"""Signals that ask a server to stop."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it is ignored below nohup
from penstock.launch.signals import StopSignals
signals = StopSignals()
{body}
print("went on", flush=True)
"""


def outcome(body: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stdout


KILL = "os.kill(os.getpid(), signal.SIGTERM)"


def test_a_signal_unwinds_the_start() -> None:
    assert outcome(KILL) == (0, "")


def test_a_signal_waits_for_what_must_not_be_half_done() -> None:
    body = f"with signals.held():\n    {KILL}\n    print('whole', flush=True)"
    assert outcome(body) == (0, "whole\n")


def test_nothing_is_added_once_all_is_being_stopped() -> None:
    assert outcome(f"signals.ignore()\n{KILL}") == (0, "went on\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_all_of_them_ask_to_stop(number: signal.Signals) -> None:
    assert outcome(f"os.kill(os.getpid(), {int(number)})") == (0, "")


def test_what_runs_in_the_background_of_a_script_can_be_interrupted() -> None:
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    body = f"os.kill(os.getpid(), {int(signal.SIGINT)})"
    done = subprocess.run(
        [sys.executable, "-c", ignoring + PROGRAM.format(body=body)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


SWALLOWED = f"""
class Careless:
    def __del__(self):
        {KILL}
Careless()
"""


def test_a_signal_that_came_where_exits_are_swallowed_is_not_forgotten() -> None:
    assert outcome(SWALLOWED + "with signals.held():\n    print('begun', flush=True)") == (0, "")


def test_it_is_not_forgotten_when_the_loop_runs() -> None:
    body = """
import asyncio
async def live():
    event = asyncio.Event()
    signals.set_event(event)
    await asyncio.wait_for(event.wait(), 5)
asyncio.run(live())
"""
    assert outcome(SWALLOWED + body) == (0, "went on\n")
