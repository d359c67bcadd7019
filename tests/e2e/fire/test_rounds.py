"""Server, node host or both are killed at random moments, again and again, in one history.

`make fire ROUNDS=50` plays as many rounds as wanted, and `SEED=n` the same moments again. What
comes of a moment still depends on the machine, so a seed that failed need not fail again.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psutil
import pytest
from azure.batch import BatchClient

from tests.e2e.fire.busy import drained
from tests.e2e.fire.ledger import Ledger
from tests.e2e.fire.verdict import Verdict, judge
from tests.e2e.fire.workload import JOBS, Feeder
from tests.e2e.harness import Penstock
from tests.e2e.things import job_options, nodes_ready, pool_options
from tests.e2e.waiting import eventually

ROUNDS = int(os.environ.get("FIRE_ROUNDS") or 20)
SEED = int(os.environ.get("FIRE_SEED") or 0) or Random().randrange(1, 1_000_000)
NODES = 4
SLOTS = 6
LONGEST_ROUND_S = 1.0
LONGEST_START_S = 0.6

SERVER, HOST, BOTH, STARTING = "server", "host", "both", "starting"


def victims(random: Random) -> Iterator[str]:
    """Whom to kill: each of the three as often, in no order that could be guessed."""
    while True:
        yield from random.sample((SERVER, HOST, BOTH), 3)


def kill(service: Penstock, victim: str, random: Random) -> list[str]:
    """Kill, and start the server again if it is gone; a node host is for the server to replace.

    Every other start is killed too, before it is through or soon after. Gives what was killed.
    """
    targets: list[psutil.Process] = []
    if victim != SERVER:
        targets.append(service.node_host())
    if victim != HOST:
        targets.append(psutil.Process(service.process.pid))
    random.shuffle(targets)
    for target in targets:
        target.send_signal(signal.SIGKILL)
    if victim == HOST:
        return [victim]
    service.kill()
    killed = [victim]
    if random.random() < 0.5:
        service.launch()
        time.sleep(random.uniform(0, LONGEST_START_S))
        service.kill()
        killed.append(STARTING)
    service.start()
    return killed


def nothing_runs(client: BatchClient) -> bool:
    """Whether all nodes are idle, by the record."""
    return all(
        (node.state, node.running_tasks_count, node.running_task_slots_count) == ("idle", 0, 0)
        for node in client.list_nodes("p")
    )


def test_nothing_is_lost_or_doubled(
    tmp_path: Path, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    say(capsys, f"seed {SEED}: {ROUNDS} rounds")
    random, kills = Random(SEED), Counter[str]()
    began = time.monotonic()
    with Penstock(tmp_path / "data") as service:
        client = service.client()
        client.create_pool(pool_options("p", nodes=NODES, slots=SLOTS))
        for job, chained in JOBS.items():
            options = job_options(job, "p")
            options.uses_task_dependencies = chained
            client.create_job(options)
        with Feeder(service.ready_file, ledger, Random(SEED)) as feeder:
            for _, victim in zip(range(ROUNDS), victims(random), strict=False):
                time.sleep(random.uniform(0, LONGEST_ROUND_S))  # the moment is what is tried
                kills.update(kill(service, victim, random))

        client = service.client()
        drained(client, Counter(task.job for task in feeder.acknowledged))
        nodes_ready(client, "p", NODES)
        verdict = judge(client, ledger, feeder.acknowledged)
        say(capsys, summary(verdict, kills, time.monotonic() - began))
        assert feeder.complaints == []
        verdict.expect_truth()
        assert verdict.requeued > 0, "some ran when their node host was killed"
        eventually(lambda: nothing_runs(client), 5, "idle nodes")

        service.restart()
        judge(service.client(), ledger, feeder.acknowledged).expect_truth()


def summary(verdict: Verdict, kills: Counter[str], took_s: float) -> str:
    """All that matters, on one line."""
    return (
        f"{ROUNDS} rounds, {verdict.tasks} tasks, {kills[SERVER]} server kills, "
        f"{kills[HOST]} host kills, {kills[BOTH]} of both, {kills[STARTING]} while starting: "
        f"lost {len(verdict.lost)}, doubled {len(verdict.doubled)}, wrong {len(verdict.wrong)}; "
        f"{verdict.requeued} runs cut short, {verdict.unseen} of them unbegun "
        f"(seed {SEED}, {took_s:.0f} s)"
    )


def say(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Print so that it is seen, whether the test passes or not."""
    with capsys.disabled():
        print(f"\nfire: {line}", flush=True)
