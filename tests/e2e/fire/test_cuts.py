"""The network between server and node host is cut while tasks run, and heals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.fire.busy import (
    AT_ONCE,
    LONG_S,
    WITHIN_S,
    all_ended,
    finished,
    given_up,
    in_full_swing,
    make_busy,
    soon_silent,
)
from tests.e2e.fire.cable import HERE_ADDRESS, Cable, NoCable, laid, within
from tests.e2e.fire.ledger import Ledger
from tests.e2e.harness import Penstock, agent
from tests.e2e.waiting import eventually


@pytest.fixture
def cable() -> Iterator[Cable]:
    """A cable between two places; this thread is on the server's side."""
    try:
        with laid() as cable, within(cable.here):
            yield cable
    except NoCable as reason:
        pytest.skip(f"a cut link cannot be tried: {reason}")


@contextmanager
def both_ends(cable: Cable, directory: Path, *settings: str) -> Iterator[Penstock]:
    """A server at one end and a node host at the other."""
    arguments = ("--host", "0.0.0.0", *settings)
    with (
        Penstock(directory / "data", verb="serve", arguments=arguments) as service,
        ExitStack() as stack,
    ):
        port = service.ready.endpoint.rpartition(":")[2]
        server = ("--server", f"http://{HERE_ADDRESS}:{port}")
        token = ("--token-file", str(service.ready.data_dir / "agent.token"))
        data = ("--data", str(directory / "data-there"))
        with within(cable.there):
            stack.enter_context(agent(*server, *token, *data, log=directory / "agent.log"))
        yield service


def test_a_short_cut_costs_nothing(tmp_path: Path, ledger: Ledger, cable: Cable) -> None:
    with both_ends(cable, tmp_path) as service:
        wanted = make_busy(service.client(), ledger, seconds=0.5)

        in_full_swing(ledger)
        with cable.cut():
            all_ended(ledger)

        verdict = finished(service.client(), ledger, wanted)
        assert (verdict.requeued, verdict.unseen) == (0, 0)


def test_after_a_long_cut_what_was_given_up_runs_again(
    tmp_path: Path, ledger: Ledger, cable: Cable
) -> None:
    with both_ends(cable, tmp_path, *soon_silent(tmp_path)) as service:
        client = service.client()
        wanted = make_busy(client, ledger, tasks=AT_ONCE, seconds=LONG_S)

        with cable.cut():
            eventually(lambda: given_up(client), WITHIN_S, "lost nodes")

        verdict = finished(client, ledger, wanted)
        assert verdict.requeued > 0


def test_runs_that_began_by_themselves_during_a_long_cut_are_counted(
    tmp_path: Path, ledger: Ledger, cable: Cable
) -> None:
    with both_ends(cable, tmp_path, *soon_silent(tmp_path)) as service:
        client = service.client()
        wanted = make_busy(client, ledger, tasks=400, seconds=0.02)

        eventually(lambda: ledger.runs().ended > 5 * AT_ONCE, WITHIN_S, "a pace that is known")
        with cable.cut():
            eventually(lambda: given_up(client), WITHIN_S, "lost nodes")

        assert finished(client, ledger, wanted).requeued > AT_ONCE
