"""Starting and ending the processes of tasks: the hot path of a node host.

One `posix_spawn` per task and nothing else that costs: no thread, no pipe. Each task is a
session of its own. Exits are collected in batches on SIGCHLD. When a leader is gone, what is
left of its session dies too, and only if something may have left the session is ``/proc``
walked; orphans are noticed because this process adopts them (`confine.become_subreaper`).
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import Callable, Collection, Mapping, Set
from contextlib import suppress
from typing import Any, Final

from penstock.agent import accounting, failures, log, strays
from penstock.agent.brands import Brands, brand_of
from penstock.agent.commands import Programs, split
from penstock.agent.events import (
    Coordinated,
    Event,
    Exited,
    Run,
    RunKey,
    SpawnBusy,
    SpawnFailed,
    TooLate,
)
from penstock.agent.ledger import BegunRun
from penstock.domain.records import Failure
from penstock.domain.usage import NOTHING
from penstock.messages import RunTask

_BUSY: Final = (errno.EAGAIN, errno.ENOMEM, errno.ENFILE, errno.EMFILE)
_MISSING: Final = (errno.ENOENT, errno.ENOTDIR)
_DEFAULTED: Final = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGCHLD,
)
_OUTPUT: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_JOINED: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_LINGERS: Final = _JOINED | os.O_TRUNC  # what is left writes on, beside the run that joins
_INPUT: Final = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
_FIRST_LOOK_S: Final = 0.005
_LONGEST_LOOK_S: Final = 0.5
_TICKS_LATE: Final = 300  # `BegunRun.ticks` is read this much after the start, at most


class _Leader:
    """The process of a run, and what may still run of it."""

    __slots__ = (
        "asked",
        "brand",
        "directory",
        "exit_code",
        "key",
        "left",
        "lingers",
        "pid",
        "polite",
        "swept",
        "usage",
    )

    def __init__(self, key: RunKey, pid: int, directory: str, brand: int, *, lingers: bool) -> None:
        self.brand = brand
        self.key = key
        self.pid = pid
        self.directory = directory
        self.asked = False  # to end, by us
        self.polite = False  # it was asked and may take its time
        self.lingers = lingers  # what it leaves may stay after a good end
        self.left = False  # it did end well, and what it left stays until it is asked
        self.swept = False  # what it left is being looked for
        self.exit_code: int | None = None
        self.usage = NOTHING  # by it and what was left of its session, as far as that ended


class Processes:
    """All processes of a host. Belongs to the thread of the event loop."""

    def __init__(self, emit: Callable[[Event], None], brands: Brands) -> None:
        self._emit = emit
        self._brands = brands
        self._programs = Programs()
        self._children = strays.Children()
        self._by_pid: dict[int, _Leader] = {}  # not reaped yet
        self._by_key: dict[RunKey, _Leader] = {}  # including those that are being swept
        self._by_session: dict[int, _Leader] = {}  # likewise
        self._orphans: dict[int, int | str] = {}  # adopted process to its brand or directory
        self._reap_due = False
        self._sweeps: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to collect exits. Must be called in the main thread.

        The handler is Python's own, because uvloop refuses SIGCHLD; it only wakes the loop.
        """

        def woken(*_: object) -> None:
            if not self._reap_due:
                self._reap_due = True
                loop.call_soon_threadsafe(self._reap)

        signal.signal(signal.SIGCHLD, woken)
        signal.siginterrupt(signal.SIGCHLD, False)
        self._reap()

    def unwatch(self) -> None:
        """Collect no more; the loop is about to end."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def spawn(
        self, run: Run, directory: str, environment: Mapping[str, str]
    ) -> int | SpawnFailed | SpawnBusy:
        """Start the command line of a run in ``{directory}/wd``; give the process id."""
        try:
            words = split(run.order.command_line)
        except ValueError as error:
            return SpawnFailed(run.key, _launch_failed(str(error)))
        if not words:
            return SpawnFailed(run.key, _launch_failed("The command line is empty"))
        brand = self._brands.wear(run.node.node_no, start=run.key.number < 0)
        try:
            pid = self._start(words, directory, environment, _output_flags(run))
        except OSError as error:
            if error.errno in _BUSY:
                return SpawnBusy(run.key)
            return SpawnFailed(run.key, _spawn_failure(error, words[0]))
        except ValueError as error:  # a NUL, or a name of a variable that cannot be one
            return SpawnFailed(run.key, _launch_failed(str(error)))
        lingers = isinstance(run.order, RunTask) and run.order.lingers
        leader = _Leader(run.key, pid, directory, brand, lingers=lingers)
        self._by_pid[pid] = self._by_key[run.key] = self._by_session[pid] = leader
        self._idle.clear()
        return pid

    def rest(self) -> None:
        """After some spawns: leave the last task's directory, and shed its brand."""
        os.chdir("/")
        self._brands.shed()

    def _start(
        self, words: list[str], directory: str, environment: Mapping[str, str], output: int
    ) -> int:
        os.chdir(directory + "/wd")
        actions = (
            _INPUT,
            (os.POSIX_SPAWN_OPEN, 1, directory + "/stdout.txt", output, 0o644),
            (os.POSIX_SPAWN_OPEN, 2, directory + "/stderr.txt", output, 0o644),
        )
        path = environment.get("PATH", "")
        try:
            program = self._programs.find(words[0], path)
        except OSError:
            for name in ("stdout.txt", "stderr.txt"):  # they are there, however a task fails
                os.close(os.open(f"{directory}/{name}", output, 0o644))
            raise
        try:
            return _posix_spawn(program, words, environment, actions)
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                script = ["/bin/sh", program, *words[1:]]
                return _posix_spawn("/bin/sh", script, environment, actions)
            if error.errno not in _MISSING or not self._programs.forget(words[0], path):
                raise
        program = self._programs.find(words[0], path)
        return _posix_spawn(program, words, environment, actions)

    def running(self) -> list[tuple[RunKey, str]]:
        """The runs that write as they like, with their directories."""
        return [
            (one.key, one.directory)
            for one in self._by_key.values()
            if one.exit_code is None or one.left
        ]

    def terminate(self, key: RunKey) -> None:
        """Ask the session of a run to end, unless it has ended by itself."""
        leader = self._by_key.get(key)
        if leader is None:
            return
        if leader.left:
            leader.asked = leader.polite = True
            self._start_sweep(leader)
            return
        if leader.exit_code is not None or _has_exited(leader.pid):
            self._emit(TooLate(key))
            return
        leader.asked = leader.polite = True
        _signal_group(leader.pid, signal.SIGTERM)
        _signal_group(leader.pid, signal.SIGCONT)

    def kill(self, key: RunKey) -> None:
        """End the session of a run now."""
        leader = self._by_key.get(key)
        if leader is not None:
            leader.asked, leader.polite = True, False
            if leader.exit_code is None:
                _signal_group(leader.pid, signal.SIGKILL)
            elif leader.left:
                self._start_sweep(leader)

    async def end_all(self, root: str, grace_s: float, most_s: float) -> None:
        """End all runs and all that belongs to a node below `root`."""
        for leader in self._by_pid.values():
            _signal_group(leader.pid, signal.SIGTERM)
            _signal_group(leader.pid, signal.SIGCONT)
        for leader in [leader for leader in self._by_key.values() if leader.left]:
            self.terminate(leader.key)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace_s)
        for leader in list(self._by_key.values()):
            self.kill(leader.key)
        await clear(strays.of_host(root, self._brands), most_s=most_s)

    # --- ends ----------------------------------------------------------------------------------

    def _reap(self) -> None:
        self._reap_due = False  # before the look: a later exit must wake the loop again
        ended: list[_Leader] = []
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if found is None:
                break
            pid = found.si_pid
            leader = self._by_pid.pop(pid, None)
            if leader is None:
                self._reap_orphan(pid)
                continue
            status, used = accounting.reap(pid)
            leader.usage += used
            code = os.waitstatus_to_exitcode(status)
            leader.exit_code = code if code >= 0 else 128 - code
            ended.append(leader)
        if ended:
            owners = self._adopted()
            for leader in ended:
                self._left(leader, owners)

    def _reap_orphan(self, pid: int) -> None:
        """Collect a process that a run had left; what it used is the run's, until that is over."""
        leader = self._by_session.get(_session_of(pid))
        _, used = accounting.reap(pid)
        self._orphans.pop(pid, None)
        if leader is not None:
            leader.usage += used

    def _left(self, leader: _Leader, owners: Set[int | str | None] | None) -> None:
        """The leader is gone; see to the rest. `owners` is None where nobody can tell."""
        if leader.key.number < 0 and not leader.asked:
            self._gone(leader)  # the background processes of a start task may stay
            return
        if leader.lingers and leader.exit_code == 0 and not leader.asked:
            leader.left = True
            self._emit(Coordinated(leader.key))
            return
        signal_no = 0 if leader.polite else signal.SIGKILL
        alive = leader.pid not in self._by_pid and _signal_group(leader.pid, signal_no)
        if alive or owners is None or not owners.isdisjoint((leader.brand, leader.directory, None)):
            self._start_sweep(leader)
        else:
            self._gone(leader)

    def _start_sweep(self, leader: _Leader) -> None:
        if leader.swept:
            return
        leader.swept = True
        sweep = asyncio.ensure_future(self._sweep(leader))
        self._sweeps.add(sweep)
        sweep.add_done_callback(self._sweeps.discard)

    def _gone(self, leader: _Leader) -> None:
        assert leader.exit_code is not None
        del self._by_key[leader.key]
        if self._by_session.get(leader.pid) is leader:
            del self._by_session[leader.pid]
        if not self._by_key:
            self._idle.set()
        self._emit(Exited(leader.key, leader.exit_code, leader.usage))

    async def _sweep(self, leader: _Leader) -> None:
        """End what outlived its leader, looking again until nothing is left.

        After a linger the number of the session may have gone to others, so that only brand
        and environment tell what is to end.
        """
        belongs = strays.of_task(leader.directory, leader.brand, self._brands)
        hunt = _Hunt(belongs, () if leader.left else (leader.pid,))
        while await hunt.look(frozenset(self._by_pid)):
            if leader.left and leader.polite:
                hunt.ask()
            await hunt.strike(gently=leader.polite)
        self._reap()  # what is only a zombie by now was not seen, and its usage counts
        self._gone(leader)

    def _adopted(self) -> Set[int | str | None] | None:
        """The brands of the orphans that are ours now, or the directories of their tasks.

        None among them stands for one that does not say whose it is; it is told only once, for
        the sweeps that follow to find out.
        """
        children = self._children.pids()
        if children is None:
            return None
        owners: set[int | str | None] = set(self._orphans.values())
        for pid in children:
            if pid in self._by_pid or pid in self._orphans:
                continue
            one = strays.process(pid)
            if one is not None and not one.dead:
                owner = self._owner(pid)
                self._orphans[pid] = owner or ""
                owners.add(owner)
        return owners

    def _owner(self, pid: int) -> int | str | None:
        """Whose an orphan is. That of another host, run by a task, is nobody's that we know."""
        brand = brand_of(pid)
        if not brand:
            return strays.task_directory_of(pid)
        return brand if self._brands.is_ours(brand) else None


def _output_flags(run: Run) -> int:
    order = run.order
    if not isinstance(order, RunTask) or order.gang is None:
        return _OUTPUT
    return _JOINED if order.joins else _LINGERS


def _posix_spawn(
    program: str, words: list[str], environment: Mapping[str, str], actions: Any
) -> int:
    return os.posix_spawn(
        program,
        words,
        environment,
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=_DEFAULTED,
    )


def _launch_failed(message: str) -> Failure:
    return failures.failure("CommandLaunchFailed", Message=message)


def _spawn_failure(error: OSError, program: str) -> Failure:
    if error.errno in _MISSING or isinstance(error, FileNotFoundError):
        return failures.failure("CommandProgramNotFound", Message=f"{program} was not found")
    if failures.is_no_space(error):
        return failures.no_space(Message=f"{program} could not be started")
    reason = error.strerror or "it cannot be executed"
    extra = {} if error.errno is None else {"AdditionalErrorCode": str(error.errno)}
    return failures.failure("CommandLaunchFailed", Message=f"{program}: {reason}", **extra)


def _has_exited(pid: int) -> bool:
    """Whether a child has ended and was not reaped."""
    try:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, pid, flags) is not None
    except ChildProcessError:
        return True


def _session_of(pid: int) -> int:
    """The session of a process that is there, be it a zombie."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def _signal_group(leader: int, number: int) -> bool:
    """Signal a process group. Says whether it has members."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _signal_each(pids: Collection[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


# --- what an earlier life left -------------------------------------------------------------------


async def end_left(
    begun: Collection[BegunRun],
    root: str,
    brands: Brands,
    spared: Mapping[int, str],
    most_s: float,
) -> None:
    """Kill all that runs of an earlier life of this host, except for `spared` start tasks.

    A recorded process counts only if it started when the record says; its number may belong to
    another one by now.
    """
    sessions: list[int] = []
    for run in begun:
        one = strays.process(run.pid)
        if one is not None and run.ticks - _TICKS_LATE <= one.ticks <= run.ticks + 1:
            sessions.append(run.pid)
    await clear(strays.of_host(root, brands, spared), sessions, most_s=most_s)


async def clear(
    belongs: Callable[[strays.Process], bool],
    sessions: Collection[int] = (),
    *,
    most_s: float,
) -> bool:
    """Kill what belongs until nothing is left, for so long at most. Says whether all is gone."""
    deadline = asyncio.get_running_loop().time() + most_s
    hunt = _Hunt(belongs, sessions)
    while await hunt.look():
        await hunt.strike()
        if asyncio.get_running_loop().time() > deadline:
            log.warning("processes_left", count=len(hunt.found), first=hunt.found[0])
            return False
    return True


class _Hunt:
    """Ends processes that may fork faster than they can be looked for.

    What a second look finds anew is stopped before it is killed, so that the number of those
    that can still fork goes down with each look.
    """

    def __init__(
        self, belongs: Callable[[strays.Process], bool], sessions: Collection[int]
    ) -> None:
        self._belongs = belongs
        self._sessions = sessions
        self._known: set[int] = set()
        self._asked: set[int] = set()
        self._pause_s = _FIRST_LOOK_S
        self.found: list[int] = []

    async def look(self, spared: Collection[int] = ()) -> bool:
        """Say whether anything is left."""
        self.found = await asyncio.to_thread(strays.gather, self._belongs, self._sessions, spared)
        return bool(self.found)

    def ask(self) -> None:
        """Ask those to end that were not asked before."""
        new = set(self.found) - self._asked
        _signal_each(new, signal.SIGTERM)
        _signal_each(new, signal.SIGCONT)
        self._asked |= new

    async def strike(self, *, gently: bool = False) -> None:
        """Kill, or stop, what was found; `gently` only waits for it."""
        new = set(self.found) - self._known
        if gently:
            await asyncio.sleep(self._pause_s)
        elif self._known and new:
            _signal_each(new, signal.SIGSTOP)
            await asyncio.sleep(0)
        else:
            _signal_each(self.found, signal.SIGKILL)
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, _LONGEST_LOOK_S)
        if not gently:
            self._known |= new
