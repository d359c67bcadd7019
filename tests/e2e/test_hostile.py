"""Tasks that misbehave: the service answers, other tasks run, and nothing of them stays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from azure.batch import BatchClient
from azure.batch.models import BatchTaskState

from tests.e2e.harness import Penstock, processes_naming, shown
from tests.e2e.things import (
    add,
    completed,
    in_state,
    job_options,
    made_job,
    run,
    running,
    shell,
    stdout,
    task_options,
    unique,
)
from tests.e2e.waiting import eventually

ANSWER_S = 5.0
"""The service may be slow while the machine is full, but it answers."""


@pytest.fixture
def arena(batch: BatchClient, pool: str) -> Iterator[str]:
    """A job for one hostile task; at the end nothing of its tasks may be left."""
    job = unique("hostile")
    with made_job(batch, job_options(job, pool)):
        yield job
    eventually(
        lambda: not processes_naming(job),
        10,
        f"the end of all processes of job {job}",
        seen=lambda: shown(processes_naming(job)),
    )


@contextmanager
def served(batch: BatchClient, job: str) -> Iterator[None]:
    """While the block runs, and after it, requests are answered and other tasks run."""
    for moment in ("during", "after"):
        if moment == "after":
            yield
        began = time.monotonic()
        assert batch.get_job(job).id == job
        assert time.monotonic() - began < ANSWER_S
        add(batch, job, task_options(f"bystander-{moment}", "/bin/echo fine"))
        bystander = completed(batch, job, f"bystander-{moment}", 20)
        assert bystander.execution_info is not None
        assert bystander.execution_info.exit_code == 0
        assert stdout(batch, job, f"bystander-{moment}") == "fine\n"


def code_of(batch: BatchClient, job: str, task: str, within_s: float = 20) -> str | None:
    """The failure code with which a task ended."""
    info = completed(batch, job, task, within_s).execution_info
    assert info is not None
    return info.failure_info.code if info.failure_info else None


def test_a_flood_of_output(batch: BatchClient, arena: str) -> None:
    flood = 'while :; do echo "$AZ_BATCH_TASK_ID $AZ_BATCH_TASK_DIR"; echo noise >&2; done'
    add(batch, arena, task_options("flood", shell(flood), wall_clock_s=2))
    running(batch, arena, "flood")

    with served(batch, arena):
        assert code_of(batch, arena, "flood") == "TaskEnded"

    assert batch.get_task_file_properties(arena, "flood", "stdout.txt").content_length


def test_forks_without_end(batch: BatchClient, arena: str) -> None:
    bomb = "while :; do /bin/sleep 0.3 & done"  # some hundred at a time, for ever new ones
    add(batch, arena, task_options("bomb", shell(bomb), wall_clock_s=2))
    running(batch, arena, "bomb")

    with served(batch, arena):
        assert code_of(batch, arena, "bomb", 30) == "TaskEnded"

    eventually(
        lambda: not [p for p in processes_naming(arena) if "sleep" in " ".join(p.cmdline())],
        5,
        "the end of the forked",
    )


def test_a_tree_of_processes_that_multiply(batch: BatchClient, arena: str) -> None:
    tree = "f() { [ $1 -gt 0 ] && { f $(($1-1)) & f $(($1-1)) & }; sleep 600; }; f 7"
    add(batch, arena, task_options("tree", shell(tree), wall_clock_s=2))

    with served(batch, arena):
        assert code_of(batch, arena, "tree", 30) == "TaskEnded"

    eventually(lambda: not processes_naming(arena), 5, "the end of the whole tree")


def test_a_task_deaf_to_sigterm(batch: BatchClient, arena: str) -> None:
    deaf = "trap '' TERM INT HUP; echo deaf; while :; do sleep 0.2; done"
    add(
        batch,
        arena,
        task_options("limited", shell(deaf), wall_clock_s=1),
        task_options("terminated", shell(deaf)),
    )
    running(batch, arena, "terminated")

    with served(batch, arena):
        batch.terminate_task(arena, "terminated")
        assert code_of(batch, arena, "terminated") == "TaskEnded"
        assert code_of(batch, arena, "limited") == "TaskEnded"


def test_a_task_that_closes_its_files(batch: BatchClient, arena: str) -> None:
    mute = "exec 0<&- 1>&- 2>&-; i=0; while [ $i -lt 20 ]; do i=$((i+1)); sleep 0.05; done; exit 7"
    add(batch, arena, task_options("mute", shell(mute)))

    with served(batch, arena):
        info = completed(batch, arena, "mute").execution_info
        assert info is not None
        assert info.exit_code == 7


def test_a_task_that_removes_its_directory(batch: BatchClient, arena: str) -> None:
    add(batch, arena, task_options("vandal", shell('rm -rf "$AZ_BATCH_TASK_DIR"; exit 5')))

    with served(batch, arena):
        info = completed(batch, arena, "vandal").execution_info
        assert info is not None
        assert info.exit_code == 5


def test_daemons_do_not_keep_a_task_running(batch: BatchClient, arena: str) -> None:
    daemon = "(setsid sleep 3601 & ) ; (sleep 3602 &); echo left"
    add(batch, arena, task_options("parent", shell(daemon)))

    with served(batch, arena):
        info = completed(batch, arena, "parent").execution_info
        assert info is not None
        assert info.exit_code == 0

    batch.delete_task(arena, "parent")

    eventually(
        lambda: not [p for p in processes_naming(arena) if "sleep" in " ".join(p.cmdline())],
        5,
        "the end of the daemons of a deleted task",
        seen=lambda: shown(processes_naming(arena)),
    )


def hidden(mark: str, place: str) -> str:
    """A script that leaves a process in a session of its own, without its environment."""
    daemon = f"env -i /usr/bin/setsid /bin/sh -c '/bin/sleep {mark} & exit'"
    return f"cd {place}; {daemon} </dev/null; sleep 0.2; exit 0"


def a_mark() -> str:
    """A number of seconds to sleep that no other process has."""
    return f"36{time.time_ns() % 10_000_000:07d}"


@pytest.mark.parametrize("place", [".", "/"], ids=["in-its-directory", "elsewhere"])
def test_a_daemon_that_drops_its_environment(batch: BatchClient, arena: str, place: str) -> None:
    mark = a_mark()
    add(batch, arena, task_options("parent", shell(hidden(mark, place))))

    with served(batch, arena):
        assert completed(batch, arena, "parent").state == BatchTaskState.COMPLETED

    batch.delete_task(arena, "parent")
    nothing_named(mark)


def nothing_named(mark: str) -> None:
    """Wait until no process has this text in its command line, and kill those that stay."""
    try:
        eventually(
            lambda: not processes_naming(mark),
            5,
            f"the end of all that {mark} names",
            seen=lambda: shown(processes_naming(mark)),
        )
    finally:
        for process in processes_naming(mark):
            process.kill()


def test_many_long_command_lines_and_names(batch: BatchClient, arena: str) -> None:
    long = "x" * 30_000
    tasks = run(batch, arena, [task_options("t" * 64, f"/bin/echo {long}")])

    assert stdout(batch, arena, "t" * 64) == long + "\n"
    assert len(tasks) == 1


def test_a_task_that_kills_all_it_can_name(plain: Penstock, batch: BatchClient, arena: str) -> None:
    """A task may signal its own group: that must never be the node host's."""
    host = plain.node_host().pid
    add(batch, arena, task_options("suicide", shell("trap '' TERM; kill -TERM 0; kill -KILL 0")))

    with served(batch, arena):
        in_state(batch, arena, "suicide", BatchTaskState.COMPLETED)

    assert plain.node_host().pid == host
