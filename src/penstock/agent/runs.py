"""The life of a run: from its files to its end.

It goes through *preparing* (its files), *held* (the machine had no room, or a retry waits),
*running*, *uploading*, and is over. One that lingers stays *running* for what its process left.
"""

from __future__ import annotations

from typing import Final, Protocol

from penstock.agent import failures
from penstock.agent.alarms import Alarms
from penstock.agent.events import (
    Action,
    Coordinated,
    Exited,
    Forget,
    Kill,
    Overrun,
    Prepare,
    Prepared,
    PrepareFailed,
    Run,
    RunKey,
    Spawn,
    SpawnBusy,
    SpawnFailed,
    StopTransfer,
    Terminate,
    Tick,
    TooLate,
    Upload,
    Uploaded,
)
from penstock.agent.patterns import wanted_after
from penstock.agent.state import Active, Cause, Node, Stage, State, slots_of
from penstock.domain.records import Failure
from penstock.messages import RunTask, StartTaskOrder, TaskBegan, TaskCoordinated, TaskEnded

_FIRST_HOLD_US: Final = 50_000
_LONGEST_HOLD_US: Final = 2_000_000


class Sequel(Protocol):
    """Goes on where a run has come to its end."""

    def start_over(self, node: Node, active: Active, now_us: int) -> list[Action]:
        """A try of a start task is over: report what that means for its node."""

    def start_again(self, active: Active, now_us: int) -> list[Action]:
        """The pause before the next try of a start task is over."""

    def left(self, node: Node, key: RunKey, now_us: int) -> list[Action]:
        """A run has left its node: let go on what waited for it."""


class Runs:
    """Leads the runs of a host, once they begin."""

    def __init__(self, state: State, alarms: Alarms, grace_us: int, sequel: Sequel) -> None:
        self._state = state
        self._alarms = alarms
        self._grace_us = grace_us
        self._sequel = sequel
        self._active = state.active
        self._current = state.current

    # --- to the process, and from it -------------------------------------------------------------

    def begin(self, node: Node, run: Run, now_us: int) -> list[Action]:
        """Begin a run that nothing keeps from it."""
        order, key = run.order, run.key
        active = Active(run, now_us)
        self._active[key] = active
        self._current[key.number] = key
        node.active.add(key)
        actions: list[Action] = []
        if isinstance(order, RunTask):
            node.slots_used += order.slots
            if order.wall_clock_us is not None:
                active.deadline_us = now_us + order.wall_clock_us
                self._alarms.set(active, active.deadline_us)
            if order.ahead:
                actions.append(self._state.send(self._began(active)))
        if _has_files(order):
            active.stage = Stage.PREPARING
            actions.append(Prepare(run))
        else:
            actions.append(Spawn(run, fresh=key.number > 0, start_us=now_us))
        return actions

    def _began(self, active: Active) -> TaskBegan:
        key = active.run.key
        return TaskBegan(
            report=self._state.ledger.number(),
            task_no=key.number,
            attempt=key.attempt,
            start_us=active.start_us,
        )

    def prepared(self, event: Prepared, now_us: int) -> list[Action]:
        active = self._active.get(event.key)
        if active is None or active.stage is not Stage.PREPARING:
            return []
        if active.cause is not None:
            return self._over(active, now_us)
        return self._spawn(active)

    def _spawn(self, active: Active) -> list[Action]:
        fresh = active.run.key.number > 0 and not _has_files(active.run.order)
        active.stage = Stage.RUNNING
        return [Spawn(active.run, fresh=fresh, start_us=active.start_us)]

    def prepare_failed(self, event: PrepareFailed, now_us: int) -> list[Action]:
        active = self._active.get(event.key)
        if active is None or active.stage is not Stage.PREPARING:
            return []
        return self._failed(active, event.failure, now_us)

    def spawn_failed(self, event: SpawnFailed, now_us: int) -> list[Action]:
        active = self._active.get(event.key)
        if active is None or active.stage is not Stage.RUNNING:
            return []
        return self._failed(active, event.failure, now_us)

    def _failed(self, active: Active, failure: Failure, now_us: int) -> list[Action]:
        if active.cause is None:
            active.failure = failure
        return self._over(active, now_us)

    def spawn_busy(self, event: SpawnBusy, now_us: int) -> list[Action]:
        active = self._active.get(event.key)
        if active is None or active.stage is not Stage.RUNNING:
            return []
        if active.cause is not None:
            return self._over(active, now_us)
        active.stage = Stage.HELD
        pause_us = min(_FIRST_HOLD_US << min(active.holds, 16), _LONGEST_HOLD_US)
        active.holds += 1
        at_us = now_us + pause_us
        self._alarms.set(
            active, at_us if active.deadline_us is None else min(at_us, active.deadline_us)
        )
        return []

    def exited(self, event: Exited, now_us: int) -> list[Action]:
        active = self._active.get(event.key)
        if active is None or active.stage is not Stage.RUNNING:
            return []
        active.exit_code, active.usage = event.exit_code, event.usage
        order = active.run.order
        failed = event.exit_code != 0 or active.cause is not None
        if (
            isinstance(order, RunTask)
            and order.output_files
            and active.cause not in (Cause.KILLED, Cause.DROPPED)
            and wanted_after(order.output_files, failed=failed)
        ):
            active.stage = Stage.UPLOADING
            active.wake_us = None
            return [Upload(active.run, failed)]
        return self._over(active, now_us)

    def coordinated(self, event: Coordinated, now_us: int) -> list[Action]:
        active = self._active.get(event.key)
        if active is None or active.stage is not Stage.RUNNING:
            return []
        active.exit_code = 0
        active.coordinated_us = now_us
        actions = [] if active.silent else [self.tell_coordinated(active)]
        if active.missed is None:
            return actions
        return actions + self.end(active, active.missed, now_us)

    def tell_coordinated(self, active: Active) -> Action:
        """Say that the command of a run that lingers has ended well."""
        assert active.coordinated_us is not None
        told = TaskCoordinated(
            report=self._state.ledger.number(),
            task_no=active.run.key.number,
            attempt=active.run.key.attempt,
            at_us=active.coordinated_us,
        )
        return self._state.send(told)

    def uploaded(self, event: Uploaded, now_us: int) -> list[Action]:
        active = self._active.get(event.key)
        if active is None or active.stage is not Stage.UPLOADING:
            return []
        if active.cause is None:
            active.failure = event.failure
        return self._over(active, now_us)

    # --- ends ------------------------------------------------------------------------------------

    def overrun(self, event: Overrun, now_us: int) -> list[Action]:
        active = self._active.get(event.key)
        if active is None or active.stage is not Stage.RUNNING or active.cause is not None:
            return []
        active.failure = event.failure
        return self.end(active, Cause.OVERRUN, now_us, force=True)

    def end(
        self, active: Active, cause: Cause, now_us: int, *, force: bool = False
    ) -> list[Action]:
        """Bring a run to its end; the first cause is the one that is reported."""
        key = active.run.key
        if active.cause is not None:
            return [Kill(key)] if force and active.stage is Stage.RUNNING else []
        active.cause = cause
        if active.stage is Stage.HELD:
            return self._over(active, now_us)
        if active.stage is not Stage.RUNNING:
            active.wake_us = None
            return [StopTransfer(key)]
        self._alarms.set(active, now_us + self._grace_us)
        return [Kill(key) if force else Terminate(key)]

    def too_late(self, event: TooLate, now_us: int) -> list[Action]:  # noqa: ARG002
        """It ended by itself before our signal, so its own end is what we report.

        But what a run leaves that lingers is to end all the same.
        """
        active = self._active.get(event.key)
        if active is None:
            return []
        if _lingers(active.run):
            active.missed = active.cause
        if active.cause in (Cause.KILLED, Cause.WALL_CLOCK) or active.missed is not None:
            active.cause = None
            active.deadline_us = None
        return []

    def _over(self, active: Active, now_us: int) -> list[Action]:
        """The run is over: report it, then let go on what waited for it."""
        run = active.run
        key = run.key
        node = self._state.nodes[run.node.node_no]
        del self._active[key]
        del self._current[key.number]
        node.active.discard(key)
        node.slots_used -= slots_of(run)
        if key.number < 0:
            actions = self._sequel.start_over(node, active, now_us)
        elif active.silent:
            node.hushed.discard(key)
            self._state.ledger.settle(self._ending(active, now_us, report=0))
            actions = [Forget(key)]
        else:
            number = self._state.ledger.number()
            actions = [self._state.send(self._ending(active, now_us, report=number))]
        return actions + self._sequel.left(node, key, now_us)

    def _ending(self, active: Active, now_us: int, *, report: int) -> TaskEnded:
        key, cause, exit_code = active.run.key, active.cause, active.exit_code
        return TaskEnded(
            report=report,
            task_no=key.number,
            attempt=key.attempt,
            start_us=active.start_us,
            end_us=now_us,
            exit_code=None if cause is Cause.DROPPED else exit_code,
            failure=None if cause is Cause.DROPPED else why(active),
            killed=cause is Cause.KILLED,
            lost=cause is Cause.DROPPED,
            usage=active.usage,
        )

    # --- time ------------------------------------------------------------------------------------

    def shift(self, by_us: int) -> None:
        """The clock was set: move all instants, so that every span keeps its length."""
        for active in self._active.values():
            active.start_us += by_us
            if active.deadline_us is not None:
                active.deadline_us += by_us
            if active.wake_us is not None:
                active.wake_us += by_us
            if active.coordinated_us is not None:
                active.coordinated_us += by_us
        self._alarms.rebuild()

    def tick(self, event: Tick, now_us: int) -> list[Action]:  # noqa: ARG002
        actions: list[Action] = []
        while (active := self._alarms.pop(now_us)) is not None:
            actions += self._woken(active, now_us)
        return actions

    def _woken(self, active: Active, now_us: int) -> list[Action]:
        if active.cause is not None:
            if active.stage is not Stage.RUNNING:
                return []
            self._alarms.set(active, now_us + self._grace_us)
            return [Kill(active.run.key)]
        if active.deadline_us is not None and now_us >= active.deadline_us:
            return self.end(active, Cause.WALL_CLOCK, now_us)
        if active.stage is not Stage.HELD:
            return []
        if active.deadline_us is not None:
            self._alarms.set(active, active.deadline_us)
        if active.run.key.number < 0 and active.holds == 0:
            return self._sequel.start_again(active, now_us)
        return self._spawn(active)


def _lingers(run: Run) -> bool:
    return isinstance(run.order, RunTask) and run.order.lingers


def _has_files(order: RunTask | StartTaskOrder) -> bool:
    """Whether files are to be fetched first; those of a gang are there when a run joins.

    A run that is refused gets no files, but fails where they would be fetched.
    """
    if order.resource_files or order.refused is not None:
        return True
    if not isinstance(order, RunTask) or order.gang is None:
        return False
    return bool(order.gang.files) and not order.joins


def why(active: Active) -> Failure | None:
    """Why the run counts as failed, or None. A bad exit code outweighs a failed upload."""
    if active.cause is Cause.KILLED:
        return None if active.coordinated_us is not None else failures.ended_by_user()
    if active.cause is Cause.WALL_CLOCK:
        assert isinstance(active.run.order, RunTask)
        return failures.wall_clock(active.run.order.wall_clock_us or 0)
    if active.cause is None and active.exit_code:
        return failures.failed_exit(active.exit_code)
    return active.failure
