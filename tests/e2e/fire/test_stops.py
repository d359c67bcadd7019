"""A process is stopped for a while, as by a debugger or a machine that swaps, and goes on."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.e2e.fire.busy import (
    AT_ONCE,
    LONG_S,
    SILENT_S,
    WITHIN_S,
    all_ended,
    finished,
    given_up,
    in_full_swing,
    make_busy,
    soon_silent,
)
from tests.e2e.fire.ledger import Ledger
from tests.e2e.harness import Penstock
from tests.e2e.waiting import eventually


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """Hold a process still."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_a_short_stop_costs_nothing(tmp_path: Path, ledger: Ledger) -> None:
    with Penstock(tmp_path / "data") as service:
        wanted = make_busy(service.client(), ledger, seconds=0.5)

        for process in (service.node_host(), psutil.Process(service.process.pid)):
            in_full_swing(ledger)
            with stopped(process):
                all_ended(ledger)

        verdict = finished(service.client(), ledger, wanted)
        assert (verdict.requeued, verdict.unseen) == (0, 0)


def test_a_node_host_that_was_given_up_comes_back(tmp_path: Path, ledger: Ledger) -> None:
    with Penstock(tmp_path / "data", arguments=soon_silent(tmp_path)) as service:
        client = service.client()
        wanted = make_busy(client, ledger, tasks=AT_ONCE, seconds=LONG_S)

        with stopped(service.node_host()):
            eventually(lambda: given_up(client), WITHIN_S, "lost nodes")

        verdict = finished(client, ledger, wanted)
        assert verdict.requeued >= AT_ONCE // 2, "what it ran was given up"


def test_a_server_stopped_for_longer_than_it_bears_silence(tmp_path: Path, ledger: Ledger) -> None:
    with Penstock(tmp_path / "data", arguments=soon_silent(tmp_path)) as service:
        wanted = make_busy(service.client(), ledger, tasks=AT_ONCE, seconds=LONG_S)

        with stopped(psutil.Process(service.process.pid)):
            time.sleep(1.5 * SILENT_S)  # it can be asked nothing meanwhile: time is all there is

        verdict = finished(service.client(), ledger, wanted)
        assert verdict.requeued == 0, "its hosts were not silent, it was deaf"
