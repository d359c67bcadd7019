"""The bound on processes is found wherever the machine keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.agent import confine
from penstock.agent.addresses import local_address
from penstock.agent.confine import ProcessBound

V1 = "30 25 0:26 / {root} rw,relatime - cgroup cgroup rw,pids"
V2 = "31 25 0:27 / {root} rw,relatime shared:9 - cgroup2 cgroup2 rw"


def groups(monkeypatch: pytest.MonkeyPatch, own: str, mounts: str) -> list[Path]:
    texts = {"/proc/self/cgroup": own, "/proc/self/mountinfo": mounts}
    monkeypatch.setattr(Path, "read_text", lambda path: texts[str(path)])
    return confine._own_groups()


def test_groups_of_both_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = "\n".join((V1.format(root="/c/pids"), V2.format(root="/c/unified")))
    own = "9:name=systemd:/\n8:pids:/a/b\n4:memory:/m\n0::/u\n"
    assert groups(monkeypatch, own, mounts) == [Path("/c/pids/a/b"), Path("/c/unified/u")]


def test_a_machine_without_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    assert groups(monkeypatch, "0::/\n", "1 2 0:1 / / rw - ext4 /dev/x rw") == []


def test_a_bound_is_written_and_the_group_left_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "pids.max").write_text("max")
    monkeypatch.setattr(confine, "_own_groups", lambda: [tmp_path / "no" / "such", tmp_path])
    bound = ProcessBound("g", 77)
    bound.impose()
    assert (tmp_path / "g" / "pids.max").read_text() == "77"
    assert (tmp_path / "g" / "cgroup.procs").read_text().isdigit()
    bound.lift()
    assert (tmp_path / "cgroup.procs").read_text().isdigit()


def test_addresses_are_all_different() -> None:
    assert [local_address(number) for number in (1, 254, 255, 65_025)] == [
        "127.1.0.1",
        "127.1.0.254",
        "127.1.1.1",
        "127.2.0.1",
    ]
    assert len({local_address(number) for number in range(1, 200_000)}) == 199_999
