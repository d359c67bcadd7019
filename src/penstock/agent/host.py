"""The node host: carries out what the core decides, and tells it what happened."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any, Final

from msgspec.structs import replace as replace_fields

from penstock import __version__
from penstock.agent import events, failures, log
from penstock.agent.addresses import local_address
from penstock.agent.brands import Brands
from penstock.agent.clock import Clock
from penstock.agent.confine import ProcessBound, become_subreaper
from penstock.agent.core import AgentCore
from penstock.agent.directories import Directories
from penstock.agent.downloads import Downloads
from penstock.agent.environ import base_environment, node_environment, run_environment
from penstock.agent.events import Action, Event, Run, RunKey
from penstock.agent.files import Files
from penstock.agent.floods import Floods
from penstock.agent.journal import Journal, host_id
from penstock.agent.ledger import BegunRun, SavedNode
from penstock.agent.link import Link
from penstock.agent.processes import Processes, clear, end_left
from penstock.agent.samples import Sampler
from penstock.agent.settings import AgentSettings
from penstock.agent.strays import of_node, ticks_now
from penstock.agent.transfers import TransferFailed, Transfers
from penstock.agent.uploads import Uploads
from penstock.messages import (
    PROTOCOL,
    AskFile,
    Heartbeat,
    Hello,
    Instruction,
    MakeNode,
    NumberedReport,
    RunTask,
    Stop,
    Welcome,
)

_SLICE_S: Final = 0.02  # of work before the loop may turn to others
_THREADS: Final = 8
_CLEAR_S: Final = 10.0


class HostBusy(Exception):
    """Another node host lives in the same data directory."""


class _Welcomed:
    """A welcome, and the connection that it came over."""

    def __init__(self, message: Welcome, generation: int) -> None:
        self.message = message
        self.generation = generation


class NodeHost:
    """One node host. `run` lives until it is told to stop."""

    def __init__(self, settings: AgentSettings) -> None:
        # Absolute, because the working directory moves from task to task.
        self._settings = replace(
            settings,
            data_dir=settings.data_dir.absolute(),
            nodes_dir=settings.nodes_root.resolve(),
        )
        self._clock = Clock()
        self._started_us = self._clock.now_us()
        self._queue: deque[Event | _Welcomed] = deque()
        self._pump_due = False
        self._flush_due = False
        self._fault: BaseException | None = None
        self._stopping = asyncio.Event()
        self._welcomed = 0  # the connection whose welcome was taken in
        self._transfer_tasks: dict[RunKey, asyncio.Task[None]] = {}
        self._chore_tasks: set[asyncio.Task[None]] = set()
        self._environments: dict[int, tuple[MakeNode, dict[str, str]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_us: int | None = None
        self._base = base_environment(os.environ)

    async def run(self) -> None:
        """Host nodes until SIGTERM, SIGINT, `Stop`, or the loss of the server for too long.

        Must be the main task of the main thread. Raises `HostBusy` when another host has the
        data directory, OSError when the directory cannot be used.
        """
        settings = self._settings
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o755)
        lock = _lock(settings.data_dir)
        try:
            self._id = host_id(settings.data_dir / "host-id")
            bound = ProcessBound(f"penstock-{self._id[:12]}", settings.max_processes)
            executor, remover = _warm_executor("agent", _THREADS), _warm_executor("remove", 2)
            try:
                become_subreaper()
                bound.impose()
                await self._live(executor, remover)
            finally:
                bound.lift()
                executor.shutdown(wait=False, cancel_futures=True)
                remover.shutdown(wait=False, cancel_futures=True)
        finally:
            os.close(lock)

    async def _live(self, executor: ThreadPoolExecutor, remover: ThreadPoolExecutor) -> None:
        settings, loop = self._settings, asyncio.get_running_loop()
        loop.set_default_executor(executor)
        self._loop = loop
        self._directories = Directories(settings.nodes_root, remover)
        self._journal = Journal(settings.data_dir / "journal")
        self._transfers = Transfers(settings, executor)
        self._downloads = Downloads(self._transfers)
        self._uploads = Uploads(self._transfers)
        self._brands = Brands(self._id)
        self._sampler = Sampler(settings.nodes_root, settings.sample_s, loop.time())
        self._processes = Processes(self._emit, self._brands)
        self._core = AgentCore(self._journal.saved, grace_us=int(settings.kill_grace_s * 1_000_000))
        self._handlers = self._action_handlers()
        await self._take_over()
        self._link = Link(
            settings.locate,
            settings.token,
            self._hello,
            self._heartbeat,
            self._receive,
            before_sending=self._write_journal,
        )
        self._files = Files(self._root_of, lambda: self._link.address, settings.token, executor)
        self._processes.watch(loop)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        self._do_all(self._core.restore(self._clock.now_us()))
        self._processes.rest()
        self._schedule_pump()
        loops = [
            asyncio.ensure_future(work)
            for work in (
                self._link.run(),
                Floods(settings, self._processes.running, self._emit).run(),
                self._watch_server(),
                self._stopping.wait(),
            )
        ]
        log.info("host_started", host=self._id, nodes=len(self._core.nodes()))
        try:
            done, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
            for work in done:
                work.result()  # type: ignore[unused-awaitable, unused-ignore]
        finally:
            await self._shut_down(loops)
        if self._fault is not None:
            raise self._fault

    async def _take_over(self) -> None:
        """End what an earlier life left running; daemons of finished start tasks may stay."""
        saved = self._journal.saved
        spared = {
            number: f"{self._directories.node_root(node.order)}/startup"
            for number, node in saved.nodes.items()
            if node.start_ended is not None and node.start_ended.failure is None
        }
        root = str(self._settings.nodes_root)
        await end_left(saved.begun.values(), root, self._brands, spared, _CLEAR_S)
        self._directories.empty_trash()
        self._directories.remove_strangers(node.order for node in saved.nodes.values())
        for node in saved.nodes.values():
            with suppress(OSError):  # the tasks on it will say what is wrong
                self._directories.make_node(node.order)

    async def _shut_down(self, loops: Sequence[asyncio.Future[Any]]) -> None:
        """End all processes; attempts stay in the journal, so the next life reports them lost."""
        log.info("host_stopping", host=self._id)
        self._stopping.set()
        if self._timer is not None:
            self._timer.cancel()
        tasks = [*loops, *self._transfer_tasks.values(), *self._chore_tasks]
        for task in tasks:
            task.cancel()
        root = str(self._settings.nodes_root)
        await self._processes.end_all(root, self._settings.stop_grace_s, 0.8)
        self._processes.unwatch()
        self._directories.stop()
        self._flush()
        self._journal.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.gather(*tasks, return_exceptions=True)
                await self._files.close()
                await self._transfers.close()
        log.info("host_stopped", host=self._id)

    async def _watch_server(self) -> None:
        """Stop the host when it had no server for longer than it is to wait for one."""
        limit_s = self._settings.orphan_after_s
        while True:
            await asyncio.sleep(1.0 if limit_s is None else min(1.0, limit_s / 4))
            self._mind_the_clock()
            if self._link.generation or limit_s is None:
                continue
            if self._loop.time() - self._link.lost_at > limit_s:
                log.warning("host_orphaned", after_s=limit_s)
                self._stopping.set()

    def _mind_the_clock(self) -> None:
        step_us = self._clock.step_us()
        if step_us:
            log.warning("clock_set", by_s=step_us / 1e6)
            self._core.shift(step_us)
            self._clock.shift(step_us)
            self._set_timer()

    # --- events in -------------------------------------------------------------------------------

    def _receive(self, batch: list[Instruction], generation: int) -> None:
        for message in batch:
            if isinstance(message, AskFile):
                self._files.ask(message)
            elif isinstance(message, Stop):
                self._stopping.set()
            elif isinstance(message, Welcome):
                self._queue.append(_Welcomed(message, generation))
            else:
                self._queue.append(message)
        self._schedule_pump()

    def _emit(self, event: Event) -> None:
        self._queue.append(event)
        self._schedule_pump()

    def _schedule_pump(self) -> None:
        if not self._pump_due and not self._stopping.is_set():
            self._pump_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Take events in, for a slice of time; what is left waits for the loop's next turn."""
        self._pump_due = False
        until = time.monotonic() + _SLICE_S
        try:
            while self._queue and not self._stopping.is_set():
                self._take(self._queue.popleft())
                if time.monotonic() > until:
                    self._schedule_pump()
                    break
        except Exception as error:  # a bug here must end the host, or nodes would go deaf
            log.error("host_fault", trace=error)
            self._fault = error
            self._stopping.set()
        self._processes.rest()
        self._set_timer()

    def _take(self, event: Event | _Welcomed) -> None:
        if isinstance(event, _Welcomed):
            if event.generation != self._link.generation:
                return  # that connection is gone already
            self._welcomed = event.generation
            event = event.message
        self._do_all(self._core.handle(event, self._clock.now_us()))

    def _set_timer(self) -> None:
        due_us = self._core.due_us()
        if due_us == self._timer_us and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_us = due_us
        if due_us is not None:
            pause_s = max(0.0, (due_us - self._clock.now_us()) / 1e6)
            self._timer = self._loop.call_later(pause_s, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._emit(events.Tick())

    # --- actions out -----------------------------------------------------------------------------

    def _action_handlers(self) -> dict[type, Callable[[Any], None]]:
        return {
            events.Spawn: self._spawn,
            events.Send: self._send,
            events.SendAgain: lambda action: self._say(action.report),
            events.Forgive: lambda action: self._journal.confirmed(action.report),
            events.Forget: lambda action: self._journal.forget(action.key),
            events.Terminate: lambda action: self._processes.terminate(action.key),
            events.Kill: lambda action: self._processes.kill(action.key),
            events.Prepare: lambda action: self._start_transfer(
                action.run.key, self._prepare(action.run)
            ),
            events.Upload: lambda action: self._start_transfer(
                action.run.key, self._upload(action.run, failed=action.failed)
            ),
            events.StopTransfer: self._stop_transfer,
            events.MakeDirectories: self._make_directories,
            events.Reboot: lambda action: self._start_chore(
                self._reboot(action.node, wipe=action.wipe)
            ),
            events.ClearNode: lambda action: self._start_chore(self._clear_node(action.node)),
            events.RemoveTree: self._remove_tree,
            events.NewServer: self._new_server,
        }

    def _do_all(self, actions: list[Action]) -> None:
        if actions and not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)
        for action in actions:
            self._handlers[type(action)](action)

    def _flush(self) -> None:
        self._flush_due = False
        self._write_journal()

    def _write_journal(self) -> None:
        try:
            self._journal.flush()
        except OSError as error:
            # Tasks go on; what a crash of this process would now lose is run again.
            log.error("journal_not_written", reason=error.strerror)

    def _spawn(self, action: events.Spawn) -> None:
        run = action.run
        directory = self._directories.run_directory(run.node, run.order)
        if action.fresh:
            assert isinstance(run.order, RunTask)
            try:
                self._directories.make_run(run.node, run.order, directory)
            except OSError as error:
                self._queue.append(events.SpawnFailed(run.key, _directory_failure(error)))
                return
        environment = self._environment(run, directory)
        number, attempt = run.key
        begun = BegunRun(number, attempt, run.node.node_no, 0, 0, action.start_us)
        # Written before there is a process: else the end of this host between the two would
        # let the attempt, unknown to the next life, begin a second time.
        self._journal.begun(begun)
        self._write_journal()
        outcome = self._processes.spawn(run, directory, environment)
        if isinstance(outcome, int):
            self._journal.begun(replace_fields(begun, pid=outcome, ticks=ticks_now()))
            return
        if isinstance(outcome, events.SpawnBusy):
            self._journal.forget(run.key)
        self._queue.append(outcome)

    def _environment(self, run: Run, directory: str) -> dict[str, str]:
        node = run.node
        held = self._environments.get(node.node_no)
        if held is None or held[0] is not node:
            root = self._directories.node_root(node)
            made = node_environment(node, root, self._settings.min_free_bytes)
            held = self._environments[node.node_no] = (node, made)
        return run_environment(self._base, held[1], run, directory)

    def _send(self, action: events.Send) -> None:
        self._journal.report(action.report)
        self._say(action.report)

    def _say(self, report: NumberedReport) -> None:
        if self._welcomed == self._link_generation():
            self._link.send(report)

    def _link_generation(self) -> int:
        """The connection that stands; never 0, which is what no welcome has."""
        return self._link.generation or -1

    def _new_server(self, action: events.NewServer) -> None:
        self._journal.server(action.server, other=action.other)
        if action.other:
            log.warning("server_changed", server=action.server)
            self._link.hang_up()

    # --- transfers -------------------------------------------------------------------------------

    def _start_transfer(self, key: RunKey, work: Coroutine[Any, Any, Event]) -> None:
        async def carry_out() -> None:
            self._emit(await work)

        task = asyncio.ensure_future(carry_out())
        self._transfer_tasks[key] = task
        task.add_done_callback(lambda done: self._transfer_done(key, done))

    def _transfer_done(self, key: RunKey, task: asyncio.Task[None]) -> None:
        if self._transfer_tasks.get(key) is task:
            del self._transfer_tasks[key]
        self._check(task)

    def _check(self, task: asyncio.Task[None]) -> None:
        """A task of ours that failed is a bug, and nodes would wait for it for ever."""
        if not task.cancelled() and task.exception() is not None:
            log.error("host_fault", trace=task.exception())
            self._fault = task.exception()
            self._stopping.set()

    def _stop_transfer(self, action: events.StopTransfer) -> None:
        task = self._transfer_tasks.get(action.key)
        if task is not None:
            task.cancel()

    async def _prepare(self, run: Run) -> Event:
        directory = self._directories.run_directory(run.node, run.order)
        order = run.order
        try:
            if isinstance(order, RunTask):
                self._directories.make_run(run.node, order, directory)
            if order.refused is not None:
                return events.PrepareFailed(run.key, order.refused)
            if isinstance(order, RunTask) and order.gang is not None and not order.joins:
                shared = self._directories.task_directory(run.node, order)
                gang = order.gang
                await self._downloads.fetch(gang.files, shared, gang.container_urls)
            await self._downloads.fetch(
                order.resource_files, f"{directory}/wd", order.container_urls
            )
        except OSError as error:
            return events.PrepareFailed(run.key, _directory_failure(error))
        except TransferFailed as error:
            return events.PrepareFailed(run.key, error.why)
        except asyncio.CancelledError:
            return events.PrepareFailed(run.key, failures.ended_by_user())
        except Exception as error:  # what a remote end can make a library raise ends one task
            log.error("download_fault", trace=error, task=run.key.number)
            return events.PrepareFailed(run.key, failures.failure("BlobDownloadMiscError"))
        return events.Prepared(run.key)

    async def _upload(self, run: Run, *, failed: bool) -> Event:
        assert isinstance(run.order, RunTask)
        directory = self._directories.run_directory(run.node, run.order)
        try:
            failure = await self._uploads.upload(
                run.order.output_files,
                directory,
                self._directories.node_root(run.node),
                self._environment(run, directory),
                failed_run=failed,
            )
        except asyncio.CancelledError:
            failure = None
        except Exception as error:  # as for downloads
            log.error("upload_fault", trace=error, task=run.key.number)
            failure = failures.failure("FileUploadMiscError")
        return events.Uploaded(run.key, failure)

    # --- nodes and directories -------------------------------------------------------------------

    def _make_directories(self, action: events.MakeDirectories) -> None:
        self._queue.append(self._made(action.node))

    def _made(self, node: MakeNode) -> Event:
        """Make the directories of a node, and note it; over its boots its address stays."""
        try:
            self._directories.make_node(node)
        except OSError as error:
            log.error("node_not_made", node=node.node_id, reason=error.strerror)
            return events.NodeFailed(node.node_no, _directory_failure(error), node.boot)
        known = self._journal.saved.nodes.get(node.node_no)
        address = local_address(self._journal.address()) if known is None else known.address
        self._journal.node(SavedNode(node, address))
        self._sampler.hasten()
        log.info("node_made", pool=node.pool_id, node=node.node_id, address=address, boot=node.boot)
        return events.NodeMade(node.node_no, address, node.boot)

    async def _reboot(self, node: MakeNode, *, wipe: bool) -> None:
        root = self._directories.node_root(node)
        await clear(of_node(root, node.node_no, self._brands), most_s=_CLEAR_S)
        if wipe:
            await self._directories.discard(root)
        self._emit(self._made(node))

    async def _clear_node(self, node: MakeNode) -> None:
        root = self._directories.node_root(node)
        await clear(of_node(root, node.node_no, self._brands), most_s=_CLEAR_S)
        await self._directories.discard(root)
        with suppress(OSError):  # other nodes of the pool are there
            Path(root).parent.rmdir()
        self._environments.pop(node.node_no, None)
        self._journal.node_gone(node.node_no)
        self._emit(events.NodeCleared(node.node_no))
        log.info("node_gone", pool=node.pool_id, node=node.node_id)

    def _remove_tree(self, action: events.RemoveTree) -> None:
        path = f"{self._directories.node_root(action.node)}/{action.path}"
        removal = self._directories.discard(path)
        if action.path.count("/") == 2:
            self._directories.remove_job_parent(path)

        async def wait() -> None:
            await removal
            self._emit(events.TreeRemoved(action.chore))

        self._start_chore(wait())

    def _start_chore(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._chore_tasks.add(task)
        task.add_done_callback(self._chore_tasks.discard)
        task.add_done_callback(self._check)

    # --- what others ask -------------------------------------------------------------------------

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
        sample = self._sampler.sample(self._loop.time())
        return Heartbeat(attempts=self._core.attempts(), sample=sample)

    def _root_of(self, node_no: int) -> str | None:
        node = self._core.node(node_no)
        return None if node is None else self._directories.node_root(node)


def host_pid(data_dir: Path) -> int | None:
    """The process id of the node host that lives in a data directory, if one does."""
    try:
        handle = os.open(data_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(handle, 32).strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(handle)
    return None


def _lock(data_dir: Path) -> int:
    """Take the data directory for this process, until the handle is closed."""
    handle = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(handle, 32).decode(errors="replace").strip()
        os.close(handle)
        raise HostBusy(f"process {owner or '?'} hosts nodes in {data_dir}") from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _warm_executor(name: str, threads: int) -> ThreadPoolExecutor:
    """Make all threads now: when tasks have used up all processes there would be none."""
    executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
    barrier = Barrier(threads + 1)

    def meet() -> None:
        with suppress(BrokenBarrierError):
            barrier.wait(5)

    for _ in range(threads):
        executor.submit(meet)
    meet()
    return executor


def _directory_failure(error: OSError) -> Any:
    reason = error.strerror or "A directory could not be made"
    if failures.is_no_space(error):
        return failures.no_space(Message=reason)
    return failures.failure("ResourceDirectoryCreateFailed", Message=reason)
