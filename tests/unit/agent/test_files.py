"""Questions about files, asked of a real host, and the tricks that must not work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.agent import files
from penstock.agent.files import Refused, looked
from penstock.messages import AskFile, FileInfo, FilesPage

Play = Callable[..., None]
TASK = "workitems/job/job-1/task1"


def names(answer: Any) -> list[str]:
    return [info.name for info in msgspec.json.decode(answer.body, type=list[FileInfo])]


async def prepared(server: Any, host: Any) -> Path:
    """A node with the files that the tests look at; gives the task's directory."""
    await server.node()
    await server.run("echo 0123456789")
    task: Path = host.task("task1")
    (task / "wd" / "d").mkdir()
    (task / "wd" / "d" / "ünï").write_text("x")
    (task / "wd" / "empty").touch()
    os.mkfifo(task / "wd" / "pipe")
    (task / "wd" / "out").symlink_to(host.directory)
    (task / "wd" / "passwd").symlink_to("/etc/passwd")
    (task / "wd" / "near").symlink_to("../stdout.txt")
    (task / "wd" / "dangling").symlink_to("nothing")
    (host.nodes_root / "pool" / "node1-other").mkdir()
    (host.nodes_root / "pool" / "node1-other" / "x").touch()
    return task


def test_reads(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await prepared(server, host)
        for path, root in (("stdout.txt", TASK), (f"{TASK}/stdout.txt", ""), ("wd/near", TASK)):
            whole = await server.ask("read", path, root=root)
            assert (whole.status, whole.body) == ("ok", b"0123456789\n")
            assert (whole.info.size, whole.info.start, whole.info.length) == (11, 0, 11)
            assert whole.info.mode & 0o777 == 0o644
        for start, end, body in (
            (2, 4, b"234"),
            (8, None, b"89\n"),
            (8, 99, b"89\n"),
            (None, 0, b"0"),
        ):
            part = await server.ask("read", "stdout.txt", root=TASK, start=start, end=end)
            assert (part.status, part.body, part.info.size) == ("ok", body, 11)
            assert (part.info.start, part.info.length) == (start or 0, len(body))
        for start, end in ((11, None), (99, 100), (4, 2)):
            none = await server.ask("read", "stdout.txt", root=TASK, start=start, end=end)
            assert none.status == "range"
        assert (await server.ask("read", "wd/empty", root=TASK)).body == b""
        strange = await server.ask("read", "wd/d/ünï", root=TASK)
        assert (strange.info.name, strange.body) == ("wd/d/ünï", b"x")
        assert (await server.ask("read", "wd", root=TASK)).status == "directory"

    play(scene)


def test_a_large_file_arrives_whole(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        task = await prepared(server, host)
        data = os.urandom(3_000_000)
        (task / "wd" / "large").write_bytes(data)
        assert (await server.ask("read", "wd/large", root=TASK)).body == data
        part = await server.ask("read", "wd/large", root=TASK, start=5, end=2_000_000)
        assert part.body == data[5:2_000_001]

    play(scene)


def test_stat_and_times(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        task = await prepared(server, host)
        os.utime(task / "stdout.txt", ns=(0, 1_000_000_500_000_000_000))
        at_us = 1_000_000_500_000_000
        info = (await server.ask("stat", "stdout.txt", root=TASK)).info
        assert (info.directory, info.size, info.modified_us) == (False, 11, at_us)
        directory = (await server.ask("stat", "wd", root=TASK)).info
        assert (directory.directory, directory.name) == (True, "wd")
        for what in ("stat", "read"):
            for more, status in (
                ({"modified_since_us": at_us}, "notmodified"),
                ({"modified_since_us": at_us - 1_000_000}, "ok"),
                ({"unmodified_since_us": at_us}, "ok"),
                ({"unmodified_since_us": at_us - 1_000_000}, "condition"),
            ):
                answer = await server.ask(what, "stdout.txt", root=TASK, **more)
                assert answer.status == status

    play(scene)


TREES = st.lists(
    st.lists(st.sampled_from(("a", "B", "a-", "a0", "b", "c")), min_size=1, max_size=4), max_size=25
)
PREFIXES = st.lists(st.sampled_from(("", "a", "a/", "a/b", "a-/", "b", "c/c/c")), max_size=2)


@settings(max_examples=150, deadline=None)
@given(paths=TREES, prefixes=PREFIXES, limit=st.integers(1, 7), recursive=st.booleans())
def test_pages_of_a_list_are_the_list(
    tmp_path_factory: pytest.TempPathFactory,
    paths: list[list[str]],
    prefixes: list[str],
    limit: int,
    recursive: bool,
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for path in paths:
        directory = root.joinpath(*(part + "d" for part in path[:-1]))
        directory.mkdir(parents=True, exist_ok=True)
        directory.joinpath(path[-1]).touch()
    wanted = sorted(
        name
        for name in (str(file.relative_to(root)) for file in root.rglob("*"))
        if (recursive or "/" not in name) and name.lower().startswith(tuple(prefixes))
    )

    found: list[str] = []
    while True:
        page = FilesPage(after=found[-1] if found else "", limit=limit, prefixes=tuple(prefixes))
        question = AskFile(
            request="", node_no=1, root="", what="list", recursive=recursive, page=page
        )
        listed = looked(question, str(root))
        assert isinstance(listed, list)
        found += [info.name for info in listed]
        if len(listed) < limit:
            break
    assert found == wanted


def test_a_list_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LIST_WITHIN_S", -1.0)
    with pytest.raises(Refused, match="busy"):
        looked(AskFile(request="", node_no=1, root="", what="list"), str(tmp_path))


def test_lists(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await prepared(server, host)
        flat = await server.ask("list", root=TASK)
        assert names(flat) == ["stderr.txt", "stdout.txt", "wd"]
        deep = await server.ask("list", root=TASK, recursive=True)
        assert names(deep) == [
            "stderr.txt",
            "stdout.txt",
            "wd",
            "wd/d",
            "wd/d/ünï",
            "wd/empty",
            "wd/near",
        ]
        node = await server.ask("list")
        assert names(node) == [
            "applications",
            "fsmounts",
            "shared",
            "startup",
            "volatile",
            "workitems",
        ]
        assert (await server.ask("list", root=TASK + "x")).status == "unavailable"
        assert (await server.ask("read", "f", root=TASK + "x")).status == "unavailable"

    play(scene)


@pytest.mark.parametrize("what", ["read", "stat", "delete", "list"])
def test_path_tricks(play: Play, what: str) -> None:
    async def scene(server: Any, host: Any) -> None:
        await prepared(server, host)
        for path in (
            "../../../../../../journal",
            "/etc/passwd",
            "wd/../../../../../../journal",
            "wd/out/journal",
            "wd/passwd/..",
            "wd/dangling/x",
            "wd\0",
            "x" * 5000,
            "no/such",
            "..",
        ):
            assert (await server.ask(what, path, root=TASK)).status == "notfound", path
        for root in ("..", "../node1-other", "/", "workitems/../.."):
            answer = await server.ask(what, "x", root=root)
            assert answer.status == "notfound", root
        assert (host.directory / "journal").exists()
        assert (host.nodes_root / "pool" / "node1-other" / "x").exists()
        assert (await server.ask(what, "x", node_no=2)).status == "unavailable"

    play(scene)


def test_what_is_no_file_is_not_read(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        await prepared(server, host)
        for what in ("read", "stat"):
            for path in ("wd/pipe", "wd/passwd", "wd/dangling", "wd/out"):
                assert (await server.ask(what, path, root=TASK)).status == "notfound", path

    play(scene)


def test_deletes(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        task = await prepared(server, host)
        assert (await server.ask("delete", "wd/empty", root=TASK)).status == "ok"
        assert not (task / "wd" / "empty").exists()
        assert (await server.ask("delete", "wd/empty", root=TASK)).status == "notfound"
        assert (await server.ask("delete", "wd/d", root=TASK)).status == "directory"
        assert (await server.ask("delete", "wd/d", root=TASK, recursive=True)).status == "ok"
        assert not (task / "wd" / "d").exists()
        assert (await server.ask("delete", "wd/passwd", root=TASK)).status == "ok"
        assert not (task / "wd" / "passwd").is_symlink()
        assert Path("/etc/passwd").exists()
        assert (await server.ask("delete", "wd/out", root=TASK, recursive=True)).status == "ok"
        assert (host.directory / "journal").exists()
        assert (await server.ask("delete", "", root=TASK, recursive=True)).status == "notfound"

    play(scene)


def test_a_node_keeps_its_own_directories(play: Play) -> None:
    async def scene(server: Any, host: Any) -> None:
        task = await prepared(server, host)
        for path in ("shared", "shared/", "./shared", "startup/wd", "workitems"):
            for recursive in (False, True):
                answer = await server.ask("delete", path, root="", recursive=recursive)
                assert answer.status == ("notfound" if path.endswith("/") else "kept"), path
        (task.parents[2] / "shared").mkdir(exist_ok=True)
        (task.parents[3] / "shared" / "file").touch()
        assert (await server.ask("delete", "shared/file", root="")).status == "ok"
        assert (await server.ask("delete", "workitems/job", root="", recursive=True)).status == "ok"

    play(scene)
