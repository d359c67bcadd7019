"""The journal gives back what was written, whatever happened to its end."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from penstock.agent import journal as journal_module
from penstock.agent.events import RunKey
from penstock.agent.journal import Journal, host_id
from penstock.agent.ledger import BegunRun, SavedNode
from penstock.messages import MakeNode, NodeReady, StartTaskEnded, StartTaskOrder, TaskEnded

NODE = MakeNode(
    node_no=1,
    node_id="n",
    pool_id="p",
    account="a",
    account_url="u",
    dedicated=False,
    slots=1,
    cores=1,
    start_task=StartTaskOrder(command_line="s"),
)
STARTED = StartTaskEnded(report=1, node_no=1, start_us=1, end_us=2, exit_code=0)


def ended(report: int, task_no: int) -> TaskEnded:
    return TaskEnded(report=report, task_no=task_no, attempt=1, start_us=1, end_us=2, exit_code=0)


def written(path: Path) -> Journal:
    journal = Journal(path)
    journal.server("s", other=False)
    assert journal.address() == 1
    journal.node(SavedNode(NODE, "127.1.0.1"))
    journal.report(STARTED)
    journal.begun(BegunRun(5, 1, 1, 100, 7, 8))
    journal.begun(BegunRun(6, 1, 1, 101, 7, 8))
    journal.begun(BegunRun(7, 1, 1, 102, 7, 8))
    journal.report(ended(2, 5))
    journal.forget(RunKey(7, 1))
    journal.confirmed(1)
    return journal


def test_it_remembers(tmp_path: Path) -> None:
    journal = written(tmp_path / "j")
    journal.close()
    for _ in range(2):  # the second time from a compacted file
        again = Journal(tmp_path / "j")
        saved = again.saved
        again.close()
        assert saved == journal.saved
        assert saved.server == "s"
        assert saved.nodes == {1: SavedNode(NODE, "127.1.0.1", STARTED)}
        assert set(saved.begun) == {RunKey(6, 1)}
        assert saved.reports == {2: ended(2, 5)}
        assert (saved.highest, saved.addresses) == (2, 1)


def test_what_was_not_flushed_is_not_there(tmp_path: Path) -> None:
    journal = written(tmp_path / "j")
    journal.flush()
    journal.report(ended(3, 6))
    assert set(Journal(tmp_path / "j").saved.reports) == {2}


def test_a_torn_last_line_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "j"
    written(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'R ["NodeReady",9,')
    assert set(Journal(path).saved.reports) == {2}
    assert b"NodeReady" not in path.read_bytes()


def test_an_unreadable_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "j"
    written(path).close()
    path.write_bytes(b"R nonsense\n\xff\nZ 1\n" + path.read_bytes())
    assert set(Journal(path).saved.begun) == {RunKey(6, 1)}


def test_it_is_compacted_when_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal(path, compact_bytes=2_000)
    for number in range(1, 500):
        journal.report(NodeReady(report=number, node_no=1))
        journal.confirmed(number)
        journal.flush()
        assert path.stat().st_size < 5_000
    journal.close()
    saved = Journal(path).saved
    assert (saved.reports, saved.highest) == ({}, 499)


def test_another_run_of_the_machine_has_none_of_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "j").close()
    monkeypatch.setattr(journal_module, "boot_id", lambda: "another")
    assert Journal(tmp_path / "j").saved.begun[RunKey(6, 1)].pid == 0


def test_another_server_voids_the_reports(tmp_path: Path) -> None:
    journal = written(tmp_path / "j")
    journal.server("other", other=True)
    journal.close()
    saved = Journal(tmp_path / "j").saved
    assert (saved.server, saved.reports, saved.highest) == ("other", {}, 2)


def test_the_host_keeps_its_name(tmp_path: Path) -> None:
    name = host_id(tmp_path / "id")
    assert len(name) == 32
    assert host_id(tmp_path / "id") == name
    (tmp_path / "id").write_text("")
    assert host_id(tmp_path / "id") != name


def test_the_end_of_a_start_task_belongs_to_its_boot(tmp_path: Path) -> None:
    journal = written(tmp_path / "j")
    booted = msgspec.structs.replace(NODE, boot=1)
    journal.report(msgspec.structs.replace(STARTED, report=3))  # not confirmed
    journal.node(SavedNode(booted, "127.1.0.1"))
    journal.close()
    again = Journal(tmp_path / "j")  # compacted, so that reports come after nodes
    again.close()
    last = Journal(tmp_path / "j")
    last.close()
    assert last.saved.nodes == {1: SavedNode(booted, "127.1.0.1")}
    assert 3 in last.saved.reports
