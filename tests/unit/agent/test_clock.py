"""Setting the time of day moves instants, and no task's end."""

from __future__ import annotations

import time

import pytest

from penstock.agent import clock as clock_module
from penstock.agent import events
from penstock.agent.clock import Clock
from penstock.agent.core import AgentCore
from penstock.agent.events import RunKey
from penstock.agent.ledger import Saved
from penstock.messages import MakeNode, RunTask


def test_the_clock_follows_the_day_and_not_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    assert abs(clock.now_us() - time.time_ns() // 1000) < 500_000
    assert clock.step_us() == 0
    monkeypatch.setattr(clock_module, "_day_us", lambda: time.time_ns() // 1000 - 3_600_000_000)
    step_us = clock.step_us()
    assert abs(step_us + 3_600_000_000) < 500_000
    clock.shift(step_us)
    assert clock.step_us() == 0


def test_a_shift_keeps_the_wall_clock_of_tasks() -> None:
    core = AgentCore(Saved(), grace_us=1)
    node = MakeNode(
        node_no=1,
        node_id="n",
        pool_id="p",
        account="a",
        account_url="u",
        dedicated=True,
        slots=1,
        cores=1,
    )
    core.handle(node, 0)
    core.handle(events.NodeMade(1, "127.1.0.1"), 0)
    order = RunTask(
        node_no=1,
        task_no=5,
        attempt=1,
        job_id="j",
        task_id="t",
        command_line="c",
        wall_clock_us=100,
    )
    core.handle(order, 1_000)
    core.shift(50_000)
    assert core.due_us() == 51_100
    assert core.handle(events.Tick(), 51_099) == []
    assert core.handle(events.Tick(), 51_100) == [events.Terminate(RunKey(5, 1))]
