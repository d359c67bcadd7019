"""What follows from a decision for the things it touched, until nothing follows any more."""

from __future__ import annotations

from penstock.engine import jobs, node_work, pools, schedules
from penstock.engine.turn import Turn


def settle(turn: Turn) -> None:
    """Look at each touched node, job, schedule and pool; looking may touch others."""
    while turn.touched_nodes or turn.touched_jobs or turn.touched_schedules or turn.touched_pools:
        if turn.touched_nodes:
            node_no, _ = turn.touched_nodes.popitem()
            node_work.settle(turn, node_no)
        elif turn.touched_jobs:
            job_no, action = turn.touched_jobs.popitem()
            jobs.settle(turn, job_no, action)
        elif turn.touched_schedules:
            schedule_no, _ = turn.touched_schedules.popitem()
            schedules.settle(turn, schedule_no)
        else:
            pool_no, _ = turn.touched_pools.popitem()
            pools.settle(turn, pool_no)
