"""What the scenarios of the states may do with a server, its host, and the files of both."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

from azure.batch.models import (
    BatchAffinityInfo,
    BatchAllTasksCompleteMode,
    BatchJobDisableOptions,
    BatchJobPreparationTask,
    BatchJobScheduleConfiguration,
    BatchJobScheduleCreateOptions,
    BatchJobScheduleState,
    BatchJobSpecification,
    BatchJobState,
    BatchNodeDisableSchedulingOptions,
    BatchNodeState,
    BatchPoolInfo,
    BatchPoolState,
    BatchStartTask,
)

# The SDK takes these, shows them nowhere else, and can make no request without a choice in them.
from azure.batch.models._models import (
    BatchJobTerminateOptions,
    BatchNodeDeallocateOptions,
    BatchNodeRebootOptions,
    BatchNodeReimageOptions,
)

from tests.e2e.inside import Host, Inside
from tests.e2e.moves import Watch
from tests.e2e.signing import Wire
from tests.e2e.things import add, job_options, pool_options, running, shell, task_options, unique
from tests.e2e.waiting import eventually

WITHIN_S: Final = 20.0
FAILS: Final = "/bin/false"
LASTS: Final = "sleep 300"
NO_POOL: Final = "none"

_WHY: Final = BatchJobTerminateOptions(termination_reason="done")  # the SDK cannot send none


class Node(NamedTuple):
    pool: str
    id: str


class Lineup(NamedTuple):
    """Nodes, by their state or by what may be asked of them."""

    pools: Sequence[str]
    idle: Node
    busy: Node
    offline: Node
    waiting: Node
    failed: Node
    reboots: Node  # idle, as the next two
    reimages: Node
    stops: Node
    starts: Node  # deallocated


class World:
    """A server, its host and a place for files; what a scenario may do with them."""

    def __init__(self, service: Inside, watch: Watch, place: Path) -> None:
        self.client = service.client
        self.host = service.host
        self.service = service
        self.watch = watch
        self.place = place
        self.flag = place / "go"
        self.waits = shell(f"while ! [ -e {self.flag} ]; do sleep 0.05; done")
        self.spoilt: list[Path] = []

    def clear(self) -> None:
        """Delete all that is there, and wait until it is gone."""
        self.mend()
        client = self.client
        for schedule in client.list_job_schedules():
            if schedule.state != BatchJobScheduleState.DELETING:
                client.begin_delete_job_schedule(schedule.id, polling_interval=1)
        for job in client.list_jobs():
            if job.state != BatchJobState.DELETING:
                client.begin_delete_job(job.id, force=True, polling_interval=1)
        for pool in client.list_pools():
            if pool.state != BatchPoolState.DELETING:
                client.begin_delete_pool(pool.id, polling_interval=1)
        eventually(self._is_empty, WITHIN_S, "the end of all schedules, jobs and pools")

    def _is_empty(self) -> bool:
        client = self.client
        lists = (client.list_job_schedules, client.list_jobs, client.list_pools)
        return not any(list(left()) for left in lists)

    @contextmanager
    def other_host(self) -> Iterator[None]:
        """A second node host, which takes every second node."""
        host = Host(self.service, self.service.place / "other-host")
        host.start()
        try:
            yield
        finally:
            host.end()

    # --- pools and nodes ---------------------------------------------------------------------

    def pool(
        self,
        nodes: int = 1,
        *,
        slots: int = 1,
        low: bool = False,
        start: str | None = None,
        together: bool = False,
        spoilt: bool = False,
    ) -> str:
        """Make a pool; in one that is `spoilt` the host cannot make its directories."""
        task = None if start is None else BatchStartTask(command_line=start, wait_for_success=True)
        options = pool_options(unique("pool"), nodes=nodes, slots=slots, start_task=task)
        if low:
            options.target_dedicated_nodes, options.target_low_priority_nodes = 0, nodes
        options.enable_inter_node_communication = together
        if spoilt:
            self.spoil(options.id)
        self.client.create_pool(options)
        return options.id

    def spoil(self, pool: str) -> None:
        """Let a file be where a pool's directory ought to be."""
        path = self.host.nodes / pool
        if path.exists():
            shutil.move(path, self.place / pool)
        self.host.nodes.mkdir(parents=True, exist_ok=True)
        path.touch()
        self.spoilt.append(path)

    def mend(self) -> None:
        """Let directories be made again that could not be."""
        for path in self.spoilt:
            path.unlink(missing_ok=True)
        self.spoilt.clear()

    def nodes(self, pool: str, count: int, state: str = BatchNodeState.IDLE) -> list[Node]:
        """Wait until the pool has nodes, all in a state."""

        def there() -> list[Node] | None:
            found = [each for each in self.client.list_nodes(pool) if each.state == state]
            return [Node(pool, each.id or "") for each in found] if len(found) == count else None

        return eventually(there, WITHIN_S, f"{count} {state} nodes", seen=lambda: self.seen(pool))

    def seen(self, pool: str) -> object:
        """The states of a pool's nodes."""
        return [(node.state, node.errors) for node in self.client.list_nodes(pool)]

    def until(self, state: str, *nodes: Node) -> None:
        """Wait until nodes are in a state."""

        def seen() -> list[object]:
            return [self.client.get_node(*node).state for node in nodes]

        eventually(
            lambda: all(each == state for each in seen()),
            WITHIN_S,
            f"nodes that are {state}",
            seen=seen,
        )

    def reboot(self, *nodes: Node) -> None:
        for node in nodes:
            how = BatchNodeRebootOptions(node_reboot_kind="requeue")
            self.client.begin_reboot_node(*node, how, polling_interval=1)

    def reimage(self, *nodes: Node) -> None:
        for node in nodes:
            how = BatchNodeReimageOptions(node_reimage_option="requeue")
            self.client.begin_reimage_node(*node, how, polling_interval=1)

    def deallocate(self, *nodes: Node) -> None:
        for node in nodes:
            how = BatchNodeDeallocateOptions(node_deallocate_option="requeue")
            self.client.begin_deallocate_node(*node, how, polling_interval=1)

    def start(self, *nodes: Node) -> None:
        for node in nodes:
            self.client.begin_start_node(*node, polling_interval=1)

    def disable(self, *nodes: Node) -> None:
        """Let nodes take no tasks; they are offline soon."""
        for node in nodes:
            how = BatchNodeDisableSchedulingOptions(node_disable_scheduling_option="requeue")
            self.client.disable_node_scheduling(*node, how)
        self.until(BatchNodeState.OFFLINE, *nodes)

    def preempt(self, *nodes: Node) -> None:
        """Take nodes away, which is an extension of Penstock."""
        with Wire.to(self.service.ready) as wire:
            for node in nodes:
                answer = wire.send("POST", f"/pools/{node.pool}/nodes/{node.id}/preempt")
                assert answer.status_code == 202, answer.text

    def occupy(self, *nodes: Node) -> str:
        """Let a task of a new job run on each of some nodes of a pool, for long."""
        job = self.job(nodes[0].pool)
        for number, node in enumerate(nodes):
            task = task_options(f"t{number}", LASTS)
            where = self.client.get_node(*node).affinity_id
            assert where is not None
            task.affinity_info = BatchAffinityInfo(affinity_id=where)
            add(self.client, job, task)
        self.until(BatchNodeState.RUNNING, *nodes)
        return job

    def lineup(self, *, low: bool = False) -> Lineup:
        """Nodes in all states that last, and some to be brought into others."""
        pools = [
            self.pool(7, low=low),
            self.pool(1, low=low, start=self.waits),
            self.pool(1, low=low, start=FAILS),
        ]
        plain = self.nodes(pools[0], 7)
        (waiting,) = self.nodes(pools[1], 1, BatchNodeState.WAITING_FOR_START_TASK)
        (failed,) = self.nodes(pools[2], 1, BatchNodeState.START_TASK_FAILED)
        idle, busy, offline, reboots, reimages, stops, starts = plain
        self.occupy(busy)
        self.disable(offline)
        self.deallocate(starts)
        self.until(BatchNodeState.DEALLOCATED, starts)
        return Lineup(pools, idle, busy, offline, waiting, failed, reboots, reimages, stops, starts)

    # --- jobs --------------------------------------------------------------------------------

    def job(self, pool: str = NO_POOL, *, preparation: str | None = None) -> str:
        options = job_options(unique("job"), pool)
        if preparation is not None:
            options.job_preparation_task = BatchJobPreparationTask(command_line=preparation)
        self.client.create_job(options)
        return options.id

    def job_with_task(self, pool: str) -> str:
        """A job with a task that runs for long."""
        job = self.job(pool)
        add(self.client, job, task_options("t", LASTS))
        running(self.client, job, "t")
        return job

    def disable_job(self, job: str, how: str = "requeue") -> None:
        options = BatchJobDisableOptions(disable_tasks=how)
        self.client.begin_disable_job(job, options, polling_interval=1)

    def enable_job(self, job: str) -> None:
        self.client.begin_enable_job(job, polling_interval=1)

    def terminate_job(self, job: str, *, force: bool = False) -> None:
        self.client.begin_terminate_job(job, _WHY, force=force, polling_interval=1)

    def delete_job(self, job: str) -> None:
        self.client.begin_delete_job(job, polling_interval=1)

    def until_job(self, job: str, state: BatchJobState) -> None:
        """Wait until a job is in a state."""
        eventually(
            lambda: self.client.get_job(job).state == state,
            WITHIN_S,
            f"a job that is {state.value}",
            seen=lambda: self.client.get_job(job).state,
        )

    def schedule(self, pool: str = NO_POOL, *, once: bool = False) -> str:
        """A schedule of a job an hour, or of one that ends at once and is the last."""
        done = BatchAllTasksCompleteMode.TERMINATE_JOB if once else None
        options = BatchJobScheduleCreateOptions(
            id=unique("schedule"),
            schedule=BatchJobScheduleConfiguration(
                recurrence_interval=None if once else timedelta(hours=1)
            ),
            job_specification=BatchJobSpecification(
                pool_info=BatchPoolInfo(pool_id=pool), all_tasks_complete_mode=done
            ),
        )
        self.client.create_job_schedule(options)
        return options.id

    def until_schedule(self, schedule: str, state: BatchJobScheduleState) -> None:
        """Wait until a job schedule is in a state."""
        eventually(
            lambda: self.client.get_job_schedule(schedule).state == state,
            WITHIN_S,
            f"a schedule that is {state.value}",
            seen=lambda: self.client.get_job_schedule(schedule).state,
        )
