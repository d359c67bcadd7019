"""Other programs that run many small tasks, each at the work of `floor.c`.

Those that serve are started once per setup. Dask's workers are never quite idle, so they stand
still (SIGSTOP) while others are measured; HyperQueue is, and would take its workers for lost.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from select import select

from bench.floor import LONGEST_S, fresh

HERE = Path(__file__).parent
START_S = 60.0
ROUND_S = 60.0
STOP_S = 20.0

Rate = Callable[[int], float]
"""Runs so many tasks and gives how many a second there were."""


class LeftOut(Exception):
    """A peer cannot take part; the message says why."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What all have: so many nodes (or workers) that run so many tasks at once each.

    Everybody's files go below `root`.
    """

    nodes: int
    slots: int
    root: Path = Path()

    @property
    def at_once(self) -> int:
        return self.nodes * self.slots


@contextmanager
def dask(setup: Setup) -> Iterator[Rate]:
    """Processes of one thread each on one node; on several, a process per node is faster."""
    _need("distributed", "dask distributed")
    shape = (setup.slots, 1) if setup.nodes == 1 else (setup.nodes, setup.slots)
    with _served(setup.root, "peer_dask.py", *shape) as process, _still(process):
        yield lambda tasks: _resumed(process, setup.root, tasks)


@contextmanager
def hyperqueue(setup: Setup) -> Iterator[Rate]:
    """A server and a worker per node, in one process; the journal is off."""
    _need("hyperqueue", "hyperqueue")
    with _served(setup.root, "peer_hyperqueue.py", setup.nodes, setup.slots) as process:
        yield lambda tasks: _round(process, setup.root, tasks)


@contextmanager
def hyperqueue_with_journal(_: Setup) -> Iterator[Rate]:
    """The package from PyPI holds server and worker, but has no way to turn the journal on."""
    raise LeftOut("its package on PyPI cannot turn the journal on, and has no `hq` program")
    yield


@contextmanager
def gnu_parallel(setup: Setup) -> Iterator[Rate]:
    """One call per round. It makes a third file per task, and one directory above both outputs."""
    program = shutil.which("parallel")
    version = [program, "--version"] if program else ["false"]
    done = subprocess.run(version, stdout=subprocess.PIPE, text=True, check=False)
    if program is None or not done.stdout.startswith("GNU parallel"):
        raise LeftOut("not installed")

    def command(root: Path, tasks: int) -> list[str]:
        numbers = [str(number) for number in range(tasks)]
        places = ["--workdir", f"{root}/{{}}/wd", "--results", f"{root}/{{}}/"]
        # Without a place for {} in the command, each number would become an argument of it.
        return [
            program,
            "--will-cite",
            f"-j{setup.at_once}",
            *places,
            "exec /bin/true #",
            ":::",
            *numbers,
        ]

    # dash starts faster than the shells that people have.
    settings = {"PARALLEL_SHELL": "/bin/sh", "HOME": str(fresh(setup.root))}
    yield lambda tasks: _called(command, setup.root, tasks, settings)


@contextmanager
def slurm(setup: Setup) -> Iterator[Rate]:
    """An array job on the cluster that is there, so many of its tasks at once."""
    if shutil.which("sbatch") is None:
        raise LeftOut("not installed")

    def command(root: Path, tasks: int) -> list[str]:
        array = f"--array=0-{tasks - 1}%{setup.at_once}"
        outputs = [f"--output={root}/%a.stdout", f"--error={root}/%a.stderr"]
        return ["sbatch", "--quiet", "--wait", array, *outputs, "--wrap", "/bin/true"]

    yield lambda tasks: _called(command, setup.root, tasks, {})


PEERS: Mapping[str, Callable[[Setup], AbstractContextManager[Rate]]] = {
    "Dask distributed": dask,
    "HyperQueue": hyperqueue,
    "HyperQueue, journal on": hyperqueue_with_journal,
    "GNU parallel": gnu_parallel,
    "Slurm": slurm,
}


def _need(module: str, packages: str) -> None:
    if find_spec(module) is None:
        raise LeftOut(f"not installed (pip install {packages})")


def _called(
    command: Callable[[Path, int], list[str]], root: Path, tasks: int, settings: Mapping[str, str]
) -> float:
    words = command(fresh(root), tasks)
    began = time.perf_counter()
    subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **settings},
        check=True,
        timeout=LONGEST_S,
    )
    return tasks / (time.perf_counter() - began)


# --- those that serve ----------------------------------------------------------------------------


@contextmanager
def _served(root: Path, program: str, *shape: int) -> Iterator[subprocess.Popen[str]]:
    """Start a program in a session of its own, and end it with all that it started."""
    directory = fresh(root)
    process = subprocess.Popen(
        [sys.executable, str(HERE / program), *map(str, shape), str(directory / "state")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(directory)},  # both leave things behind in it
        text=True,
        start_new_session=True,
    )
    try:
        if _line(process, START_S) != "ready":
            raise LeftOut("it does not start")
        yield process
    finally:
        _end(process)


@contextmanager
def _still(process: subprocess.Popen[str]) -> Iterator[None]:
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGCONT)


def _resumed(process: subprocess.Popen[str], root: Path, tasks: int) -> float:
    os.killpg(process.pid, signal.SIGCONT)
    try:
        return _round(process, root, tasks)
    finally:
        os.killpg(process.pid, signal.SIGSTOP)


def _round(process: subprocess.Popen[str], root: Path, tasks: int) -> float:
    assert process.stdin is not None
    process.stdin.write(f"{fresh(root)} {tasks}\n")
    process.stdin.flush()
    answer = _line(process, ROUND_S)
    if not answer:
        raise LeftOut("it ended by itself")
    return tasks / float(answer)


def _line(process: subprocess.Popen[str], within_s: float) -> str:
    """The next line that it prints; each answers one request, so none is left in the buffer."""
    assert process.stdout is not None
    if not select([process.stdout], [], [], within_s)[0]:
        raise LeftOut(f"no answer within {within_s:g} s")
    return process.stdout.readline().strip()


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.close()
        process.wait(STOP_S)
    except (subprocess.TimeoutExpired, OSError):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_S)
    process.stdout.close()
