"""A node host that runs nothing: every instruction is answered at once, as done.

With it a server can be measured, and loaded with thousands of nodes, without the cost of
processes and files: what the server sees is a real link and tasks that take no time. It keeps
nothing on disk, so its nodes are lost when it ends, as those of a machine that is gone.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from msgspec.structs import replace

from penstock import __version__
from penstock.agent import failures, log
from penstock.agent.addresses import local_address
from penstock.agent.clock import Clock
from penstock.agent.events import RunKey
from penstock.agent.files import Files
from penstock.agent.ledger import Ledger, Saved
from penstock.agent.link import Link
from penstock.agent.settings import ServerAddress
from penstock.messages import (
    PROTOCOL,
    AskFile,
    ChoreDone,
    Confirm,
    DropNode,
    Heartbeat,
    Hello,
    Instruction,
    KillTask,
    MakeNode,
    NodeGone,
    NodeHosted,
    NodeReady,
    NumberedReport,
    RemoveJob,
    RemoveTask,
    ReturnTask,
    RunTask,
    StartTaskBegan,
    StartTaskEnded,
    Stop,
    TaskBegan,
    TaskCoordinated,
    TaskEnded,
    Welcome,
)

_STOP_CHECK_S: Final = 1.0


class NullCore:
    """Instruction in, reports out. Nothing is ever at work; what lingers is but remembered.

    The ledger is that of a real host: what was not confirmed is said again after a cut, and
    an attempt that is asked for twice is answered with its one ending.
    """

    def __init__(self) -> None:
        self._ledger = Ledger(Saved())
        self._nodes: dict[int, NodeHosted] = {}
        self._addresses = 0
        self._lingering: dict[RunKey, tuple[RunTask, int]] = {}  # and since when
        self._server: str | None = None
        self._handlers: dict[type, Callable[[Any, int], list[NumberedReport]]] = {
            RunTask: self._run_task,
            Confirm: self._confirm,
            KillTask: self._kill_task,
            ReturnTask: self._return_task,
            RemoveTask: self._remove,
            RemoveJob: self._remove,
            MakeNode: self._make_node,
            DropNode: self._drop_node,
        }

    def handle(self, order: Instruction, now_us: int) -> list[NumberedReport]:
        """Answer an instruction that is not about the host itself."""
        return self._handlers[type(order)](order, now_us)

    def welcome(self, message: Welcome) -> list[NumberedReport] | None:
        """Begin with a server: what it must hear again; None when it has to be greeted anew.

        That is so for another server than before, for which all numbers mean other things.
        """
        before, self._server = self._server, message.server
        if before not in (None, message.server):
            self._ledger.clear()
            self._nodes.clear()
            self._lingering.clear()
            return None
        self._ledger.confirm(message.confirmed)
        self._nodes = {no: self._nodes[no] for no in self._nodes if no in set(message.nodes)}
        listed = set(message.attempts)
        self._lingering = {
            key: (order, at_us)
            for key, (order, at_us) in self._lingering.items()
            if key in listed and order.node_no in self._nodes
        }
        return list(self._ledger.unconfirmed.values())

    def nodes(self) -> tuple[int, ...]:
        return tuple(self._nodes)

    def attempts(self) -> tuple[tuple[int, int], ...]:
        """The attempts that are not over."""
        return tuple(self._lingering)

    def known_attempts(self) -> tuple[tuple[int, int], ...]:
        """The attempts that the server does not know to be over."""
        return (*self._lingering, *self._ledger.unconfirmed_attempts())

    # --- tasks -------------------------------------------------------------------------------

    def _run_task(self, order: RunTask, now_us: int) -> list[NumberedReport]:
        key = RunKey(order.task_no, order.attempt)
        if self._ledger.ending(key) is not None:
            return self._over(key, now_us)
        if order.node_no not in self._nodes:
            return self._over(key, now_us, lost=True)
        began = self._began(key, now_us) if order.ahead else []
        if order.refused is not None:
            return began + self._over(key, now_us, failure=order.refused)
        if order.lingers:
            return began + self._coordinated(order, key, now_us)
        return began + self._over(key, now_us, exit_code=0)

    def _kill_task(self, order: KillTask, now_us: int) -> list[NumberedReport]:
        key, why = RunKey(order.task_no, order.attempt), failures.ended_by_user()
        if key in self._lingering:
            return self._leaves(key, now_us, exit_code=0, killed=True)
        return self._over(key, now_us, failure=why, killed=True)

    def _return_task(self, order: ReturnTask, now_us: int) -> list[NumberedReport]:
        key = RunKey(order.task_no, order.attempt)
        return [] if key in self._lingering else self._over(key, now_us, returned=True)

    def _coordinated(self, order: RunTask, key: RunKey, now_us: int) -> list[NumberedReport]:
        """Let an attempt linger in the place of an older one of its task."""
        older = [held for held in self._lingering if held.number == key.number and held != key]
        reports = [one for held in older for one in self._leaves(held, now_us, lost=True)]
        _, at_us = self._lingering.setdefault(key, (order, now_us))
        told = TaskCoordinated(
            report=self._ledger.number(), task_no=key.number, attempt=key.attempt, at_us=at_us
        )
        return [*reports, self._keep(told)]

    def _leaves(self, key: RunKey, now_us: int, **how: Any) -> list[NumberedReport]:
        """End an attempt that lingers."""
        del self._lingering[key]
        return self._over(key, now_us, **how)

    def _all_leave(
        self, concerned: Callable[[RunTask], bool], now_us: int, **how: Any
    ) -> list[NumberedReport]:
        keys = [key for key, (order, _) in self._lingering.items() if concerned(order)]
        return [report for key in keys for report in self._leaves(key, now_us, **how)]

    def _began(self, key: RunKey, now_us: int) -> list[NumberedReport]:
        report, (task_no, attempt) = self._ledger.number(), key
        began = TaskBegan(report=report, task_no=task_no, attempt=attempt, start_us=now_us)
        return [self._keep(began)]

    def _over(self, key: RunKey, now_us: int, **how: Any) -> list[NumberedReport]:
        """Report how an attempt ended; one that was over before ended as it did then."""
        report, ending = self._ledger.number(), self._ledger.ending(key)
        if ending is not None:
            return [self._keep(replace(ending, report=report))]
        task_no, attempt = key
        ended = TaskEnded(
            report=report,
            task_no=task_no,
            attempt=attempt,
            start_us=now_us,
            end_us=now_us,
            **how,
        )
        return [self._keep(ended)]

    # --- nodes and chores --------------------------------------------------------------------

    def _make_node(self, order: MakeNode, now_us: int) -> list[NumberedReport]:
        number, node_no, boot = self._ledger.number, order.node_no, order.boot
        known = self._nodes.get(node_no)
        if known is not None and boot < known.boot:
            return []
        reports: list[NumberedReport] = []
        if known is not None and boot > known.boot:
            reports += self._all_leave(lambda run: run.node_no == node_no, now_us, lost=True)
        if known is None:
            self._addresses += 1
        address = local_address(self._addresses) if known is None else known.address
        hosted = NodeHosted(report=number(), node_no=node_no, address=address, boot=boot)
        self._nodes[node_no] = hosted
        reports.append(self._keep(hosted))
        start = order.start_task
        if start is not None:
            began = StartTaskBegan(report=number(), node_no=node_no, start_us=now_us, boot=boot)
            ended = StartTaskEnded(
                report=number(),
                node_no=node_no,
                start_us=now_us,
                end_us=now_us,
                exit_code=0 if start.refused is None else None,
                failure=start.refused,
                boot=boot,
            )
            reports += [self._keep(began), self._keep(ended)]
            if start.refused is not None and start.wait_for_success:
                return reports
        ready = NodeReady(report=number(), node_no=node_no, boot=boot)
        return [*reports, self._keep(ready)]

    def _drop_node(self, order: DropNode, now_us: int) -> list[NumberedReport]:
        known = self._nodes.get(order.node_no)
        if known is not None and order.boot < known.boot:
            return []  # of the past: the node was asked for again since
        self._nodes.pop(order.node_no, None)
        ended = self._all_leave(lambda run: run.node_no == order.node_no, now_us, lost=True)
        number = self._ledger.number()
        gone = NodeGone(report=number, node_no=order.node_no, boot=order.boot)
        return [*ended, self._keep(gone)]

    def _remove(self, order: RemoveTask | RemoveJob, now_us: int) -> list[NumberedReport]:
        def concerned(run: RunTask) -> bool:
            return (
                run.node_no == order.node_no
                and run.task_no < order.chore
                and run.job_id.lower() == order.job_id.lower()
                and (isinstance(order, RemoveJob) or run.task_id.lower() == order.task_id.lower())
            )

        ended = self._all_leave(concerned, now_us, exit_code=0, killed=True)
        done = ChoreDone(report=self._ledger.number(), chore=order.chore)
        return [*ended, self._keep(done)]

    # --- reports -----------------------------------------------------------------------------

    def _confirm(self, message: Confirm, now_us: int) -> list[NumberedReport]:  # noqa: ARG002
        self._ledger.confirm(message.report)
        return []

    def _keep(self, report: NumberedReport) -> NumberedReport:
        self._ledger.keep(report)
        return report


class NullHost:
    """The core on a link. `run` lives until it is told to stop."""

    def __init__(
        self,
        locate: Callable[[], ServerAddress | None],
        token: str,
        orphan_after_s: float,
    ) -> None:
        self._locate = locate
        self._token = token
        self._orphan_after_s = orphan_after_s
        self._id = secrets.token_hex(16)
        self._clock = Clock()
        self._started_us = self._clock.now_us()
        self._core = NullCore()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Answer until SIGTERM, SIGINT, `Stop`, or the loss of the server for too long.

        Must be the main task of the main thread.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        self._link = Link(
            self._locate, self._token, self._hello, self._heartbeat, self._receive, lambda: None
        )
        with ThreadPoolExecutor(1, "files") as executor:
            self._files = Files(
                lambda _node: None, lambda: self._link.address, self._token, executor
            )
            log.info("null_host_started", host=self._id)
            works = [
                asyncio.ensure_future(work)
                for work in (self._link.run(), self._watch_server(), self._stopping.wait())
            ]
            try:
                done, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
                for work in done:
                    work.result()  # type: ignore[unused-awaitable, unused-ignore]
            finally:
                for work in works:
                    work.cancel()
                await asyncio.gather(*works, return_exceptions=True)
                await self._files.close()
        log.info("null_host_stopped", host=self._id)

    async def _watch_server(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(_STOP_CHECK_S, self._orphan_after_s / 4))
            if not self._link.generation and (
                loop.time() - self._link.lost_at > self._orphan_after_s
            ):
                log.warning("host_orphaned", after_s=self._orphan_after_s)
                return

    def _receive(self, batch: Sequence[Instruction], generation: int) -> None:
        if not generation:
            return  # that connection was given up
        now_us = self._clock.now_us()
        for message in batch:
            if isinstance(message, AskFile):
                self._files.ask(message)
            elif isinstance(message, Stop):
                self._stopping.set()
            elif isinstance(message, Welcome):
                again = self._core.welcome(message)
                if again is None:
                    log.warning("server_changed", server=message.server)
                    self._link.hang_up()
                    return
                self._send(again)
            else:
                self._send(self._core.handle(message, now_us))

    def _send(self, reports: Sequence[NumberedReport]) -> None:
        for report in reports:
            self._link.send(report)

    def _hello(self) -> Hello:
        return Hello(
            protocol=PROTOCOL,
            host=self._id,
            version=__version__,
            pid=os.getpid(),
            started_us=self._started_us,
            cores=os.cpu_count() or 1,
            nodes=self._core.nodes(),
            attempts=self._core.known_attempts(),
        )

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(attempts=self._core.attempts())
