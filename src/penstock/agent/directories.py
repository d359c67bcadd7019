"""The directories of nodes and tasks: made quickly, removed without anyone waiting."""

# Plain strings: the hot path makes two directories for each task.
# ruff: noqa: PTH101, PTH102, PTH103, PTH104, PTH106, PTH108, PTH112, PTH114, PTH120
from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterable
from concurrent.futures import Executor
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import Event
from typing import Final

from penstock.agent import log
from penstock.agent.layout import NODE_DIRECTORIES, run_directory, task_directory
from penstock.messages import MakeNode, RunTask, StartTaskOrder

_TRASH: Final = ".trash"  # of the host, beside the pools
_MODE: Final = 0o755


class Directories:
    """All below the root of a host's nodes."""

    def __init__(self, root: Path, executor: Executor) -> None:
        self.root = root
        self._executor = executor
        self._numbers = count()
        self._stopped = Event()
        self._removals: set[asyncio.Future[None]] = set()
        root.mkdir(parents=True, exist_ok=True, mode=_MODE)

    def node_root(self, node: MakeNode) -> str:
        return f"{self.root}/{node.pool_id}/{node.node_id}"

    def run_directory(self, node: MakeNode, order: RunTask | StartTaskOrder) -> str:
        """The directory that holds the run's ``stdout.txt`` and ``wd``."""
        if isinstance(order, StartTaskOrder):
            return f"{self.node_root(node)}/startup"
        return f"{self.node_root(node)}/{run_directory(order)}"

    def task_directory(self, node: MakeNode, order: RunTask) -> str:
        """The directory that the task has on the node, also where it runs a subtask."""
        return f"{self.node_root(node)}/{task_directory(order.job_id, order.task_id)}"

    def make_node(self, node: MakeNode) -> None:
        """Make what a node needs. Raises OSError."""
        root = self.node_root(node)
        for name in NODE_DIRECTORIES:
            os.makedirs(f"{root}/{name}", mode=_MODE, exist_ok=True)

    def make_run(self, node: MakeNode, order: RunTask, directory: str) -> None:
        """Make the directory of a run and its ``wd``. Raises OSError.

        They are new and empty, with all of the task's directory, but for a run that joins:
        it finds what the run that lingers there has made.
        """
        if order.joins:
            os.makedirs(directory + "/wd", _MODE, exist_ok=True)
            return
        if order.gang is None or order.gang.index == 0:
            self._make_new(directory)
        else:
            self._make_new(self.task_directory(node, order))
            os.mkdir(directory, _MODE)
        os.mkdir(directory + "/wd", _MODE)

    def _make_new(self, directory: str) -> None:
        try:
            os.mkdir(directory, _MODE)
        except FileNotFoundError:
            os.makedirs(directory, _MODE, exist_ok=True)
        except FileExistsError:
            self.discard(directory)
            os.mkdir(directory, _MODE)

    def discard(self, path: str) -> asyncio.Future[None]:
        """Take a tree out of the way at once; the future is done when it is removed."""
        trash = f"{self.root}/{_TRASH}"
        aside = f"{trash}/{os.getpid()}-{next(self._numbers)}"
        try:
            os.makedirs(trash, _MODE, exist_ok=True)
            os.rename(path, aside)
        except FileNotFoundError:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done
        except OSError as error:  # a mount point, perhaps: empty it where it is
            log.warning("tree_not_moved", path=path, reason=error.strerror)
            aside = path
        removal = asyncio.ensure_future(
            asyncio.get_running_loop().run_in_executor(
                self._executor, _remove, aside, self._stopped
            )
        )
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)
        return removal

    def remove_job_parent(self, path: str) -> None:
        """Remove the directory above a job's, if the job was all that it held."""
        try:
            os.rmdir(os.path.dirname(path))
        except OSError:
            return  # it holds other jobs of a schedule, or is gone

    def empty_trash(self) -> None:
        """Remove what an earlier life did not come to remove."""
        trash = f"{self.root}/{_TRASH}"
        if os.path.isdir(trash):
            self.discard(trash)

    def remove_strangers(self, known: Iterable[MakeNode]) -> None:
        """Remove the directories of nodes that an earlier life made and did not come to note."""
        kept = {self.node_root(node) for node in known}
        pools = [entry for entry in os.scandir(self.root) if entry.is_dir(follow_symlinks=False)]
        for pool in pools:
            if pool.name == _TRASH:
                continue
            for path in [entry.path for entry in os.scandir(pool.path)]:
                if path not in kept:
                    self.discard(path)
            with suppress(OSError):  # its other nodes are there
                os.rmdir(pool.path)

    def stop(self) -> None:
        """Let removals end soon; the next life takes up what they leave."""
        self._stopped.set()


def _remove(path: str, stopped: Event) -> None:
    """Remove a tree whatever its modes are. What cannot be removed is logged, and stays."""
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return
        try:
            _remove_tree(path, stopped)
        except PermissionError:
            _open_up(path)
            _remove_tree(path, stopped)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("tree_left", path=path, reason=error.strerror)


def _remove_tree(path: str, stopped: Event) -> None:
    """Remove from the leaves up, by directory handles: no link that is put in leads astray."""
    for _, directories, names, handle in os.fwalk(path, topdown=False, onerror=_raise):
        for name in names:
            if stopped.is_set():
                return
            os.unlink(name, dir_fd=handle)
        for name in directories:
            if stat.S_ISLNK(os.lstat(name, dir_fd=handle).st_mode):
                os.unlink(name, dir_fd=handle)
            else:
                os.rmdir(name, dir_fd=handle)
    os.rmdir(path)


def _raise(error: OSError) -> None:
    raise error


def _open_up(path: str) -> None:
    """Let the owner enter and change every directory of a tree."""
    os.chmod(path, 0o700)
    for directory, names, _ in os.walk(path):
        for name in names:
            inner = f"{directory}/{name}"
            if not os.path.islink(inner):
                os.chmod(inner, 0o700)
