"""Bugs to switch on one by one: a check that notices none of them is worth nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple

from tests.sim import bugs_of_hosts as hosts
from tests.sim import bugs_of_life_cycles as cycles
from tests.sim import bugs_of_the_server as server
from tests.sim.invariants import Invariant


class Mutation(NamedTuple):
    """A bug, and the invariant that it shows to be looked after."""

    breaks: Invariant
    switched_on: Callable[[], AbstractContextManager[Any]]
    fault: str | None = None  # without which it does not show
    first: int | None = None  # a history to begin the hunt with: it showed there once

    @property
    def name(self) -> str:
        return self.switched_on.__name__

    @property
    def text(self) -> str:
        return (self.switched_on.__doc__ or "").strip()


_ALL: Final = (
    Mutation(Invariant.KEPT, server.answers_before_the_commit),
    Mutation(Invariant.KEPT, server.drops_a_task_with_its_node),
    Mutation(Invariant.ONCE, server.takes_an_end_twice),
    Mutation(Invariant.SLOTS, server.frees_slots_twice, first=1006),
    Mutation(Invariant.COUNTS, server.counts_failures_as_successes),
    Mutation(Invariant.COUNTS, server.counts_running_as_waiting),
    Mutation(Invariant.COUNTS, server.believes_a_torn_commit, "kill_in_commit"),
    Mutation(Invariant.MOVES, server.completes_a_job_at_once),
    Mutation(Invariant.REASONS, server.blames_the_queue),
    Mutation(Invariant.REASONS, server.knows_no_reason),
    Mutation(Invariant.PLACES, server.skips_a_dependent),
    Mutation(Invariant.PLACES, server.forgets_to_wake_the_queue),
    Mutation(Invariant.PLACES, server.leaves_a_returned_host_closed, first=1004),
    Mutation(Invariant.BOUND, server.never_calls_back, first=3019),
    Mutation(Invariant.RULES, server.ignores_priority, first=1005),
    Mutation(Invariant.RULES, server.ignores_the_limit_of_a_job),
    Mutation(Invariant.RULES, server.forgets_the_limit_at_a_restart, "kill_server"),
    Mutation(Invariant.RULES, server.ignores_dependencies),
    Mutation(Invariant.HELD, cycles.holds_nothing),
    Mutation(Invariant.HELD, cycles.gives_away_what_is_held, first=1002),
    Mutation(Invariant.PREPARED, cycles.runs_on_any_node),
    Mutation(Invariant.PREPARED, cycles.releases_beside_tasks),
    Mutation(Invariant.PREPARED, cycles.forgets_to_release, first=1033),
    Mutation(Invariant.PREPARED, cycles.prepares_once_for_ever, first=1028),
    Mutation(Invariant.BOOTS, hosts.keeps_files_over_a_reimage, first=1004),
    Mutation(Invariant.BOOTS, hosts.wipes_at_each_boot, first=1004),
    Mutation(Invariant.SCHEDULE, cycles.makes_jobs_side_by_side, first=1010),
    Mutation(Invariant.SCHEDULE, cycles.makes_up_for_lost_jobs, first=1009),
    Mutation(Invariant.SCHEDULE, cycles.forgets_when_jobs_are_due, first=1004),
    Mutation(Invariant.AUTO_POOLS, cycles.keeps_auto_pools, first=1004),
    Mutation(Invariant.QUOTA, cycles.ignores_quotas, first=1006),
    Mutation(Invariant.USED, server.forgets_what_the_deleted_used),
    Mutation(Invariant.USED, server.counts_what_was_used_twice),
    Mutation(Invariant.EVENTS, cycles.tells_twice),
    Mutation(Invariant.EVENTS, cycles.tells_nothing_of_lost_runs),
    Mutation(Invariant.TOGETHER, cycles.does_not_wait_for_all_parts, first=1002),
    Mutation(Invariant.TOGETHER, cycles.begins_what_is_ready, first=1002),
    Mutation(Invariant.TRUTH, cycles.forgets_parts_that_run, first=1050),
    Mutation(Invariant.MANAGER, cycles.lets_managers_share, first=1003),
    Mutation(Invariant.MEMORY, server.keeps_memory_after_a_failed_commit, "fill_disk"),
    Mutation(Invariant.ALONE, hosts.starts_beside_the_old, "part", first=1046),
    Mutation(Invariant.FINISH, hosts.keeps_what_is_not_listed, "part"),
    Mutation(Invariant.COMMITTED, server.sends_before_the_commit),
    Mutation(Invariant.COMMITTED, server.counts_no_retry),
    Mutation(Invariant.COMMITTED, hosts.notes_no_begin),
    Mutation(Invariant.TRUTH, server.ignores_the_attempt, "part"),
    Mutation(Invariant.ONWARD, server.forgets_what_a_job_waits_for),
    Mutation(Invariant.FINISH, server.forgets_to_requeue, "part", first=1023),
    Mutation(Invariant.FINISH, server.does_not_send_again, "kill_in_commit", first=1009),
    Mutation(Invariant.FINISH, server.loses_chores),
    Mutation(Invariant.COMMITTED, hosts.forgets_how_attempts_ended),
    Mutation(Invariant.SOUND, hosts.drops_files_under_a_task, first=1004),
)

MUTATIONS: Final[Mapping[str, Mutation]] = {mutation.name: mutation for mutation in _ALL}
