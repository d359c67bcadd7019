"""The files of tasks and nodes: listed, described, read whole and in part, deleted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.batch import BatchClient
from azure.batch.models import BatchStartTask

from tests.e2e.harness import Penstock
from tests.e2e.signing import Wire
from tests.e2e.things import (
    add,
    content,
    job_options,
    made_job,
    made_pool,
    pool_options,
    refusal,
    run,
    running,
    shell,
    stdout,
    task_file,
    task_options,
    unique,
)
from tests.e2e.waiting import eventually

BIG_BYTES = 50 * 1024 * 1024


@pytest.fixture(scope="module")
def tree(batch: BatchClient, pool: str) -> Iterator[str]:
    """A job whose task `t` has left some files."""
    with made_job(batch, job_options(unique("files"), pool)) as job:
        script = (
            "mkdir -p a/b 'a/with space'; echo one > one.txt; echo two > a/two.txt; "
            "echo three > a/b/three.bin; echo ä > 'a/with space/ü+&%.txt'; "
            "chmod 640 one.txt; printf 0123456789 > digits; : > empty; echo printed"
        )
        run(batch, job, [task_options("t", shell(script))])
        yield job


# --- listing -----------------------------------------------------------------------------------


def test_a_listing_of_one_level(batch: BatchClient, tree: str) -> None:
    files = {file.name: file for file in batch.list_task_files(tree, "t")}

    assert {"stdout.txt", "stderr.txt", "wd"} <= set(files)
    assert not [name for name in files if name and "/" in name]
    assert files["wd"].is_directory
    assert files["wd"].properties is None, "directories carry no properties"
    printed = files["stdout.txt"]
    assert not printed.is_directory
    assert printed.url is not None
    assert printed.url.endswith(f"/jobs/{tree}/tasks/t/files/stdout.txt")
    assert printed.properties is not None
    assert printed.properties.content_length == len("printed\n")
    assert printed.properties.content_type == "text/plain"
    age = datetime.now(UTC) - printed.properties.last_modified
    assert timedelta(seconds=-2) < age < timedelta(minutes=10)


def test_a_listing_of_all_levels(batch: BatchClient, tree: str) -> None:
    names = {file.name for file in batch.list_task_files(tree, "t", recursive=True)}

    assert {
        "stdout.txt",
        "wd/one.txt",
        "wd/a",
        "wd/a/two.txt",
        "wd/a/b",
        "wd/a/b/three.bin",
        "wd/a/with space/ü+&%.txt",
        "wd/empty",
    } <= names


def test_a_listing_with_a_filter(batch: BatchClient, tree: str) -> None:
    def found(prefix: str) -> set[str | None]:
        wanted = f"startswith(name,'{prefix}')"
        return {f.name for f in batch.list_task_files(tree, "t", filter=wanted, recursive=True)}

    assert found("wd/a/b/") == {"wd/a/b/three.bin"}
    assert found("wd/a/t") == {"wd/a/two.txt"}
    assert found("nothing") == set()


def test_a_listing_in_pages(batch: BatchClient, tree: str) -> None:
    whole = [file.name for file in batch.list_task_files(tree, "t", recursive=True)]
    pages = batch.list_task_files(tree, "t", recursive=True, max_results=2).by_page()
    sizes = []
    names: list[str | None] = []
    for page in pages:
        found = [file.name for file in page]
        sizes.append(len(found))
        names += found

    assert names == whole
    assert max(sizes) <= 2


# --- reading -----------------------------------------------------------------------------------


def test_properties(batch: BatchClient, tree: str) -> None:
    one = batch.get_task_file_properties(tree, "t", "wd/one.txt")
    folder = batch.get_task_file_properties(tree, "t", "wd/a")

    assert str(one.is_directory).lower() == "false"
    assert int(one.content_length) == 4
    assert one.file_mode == "0o100640"
    assert one.url
    assert str(folder.is_directory).lower() == "true"
    assert refusal(lambda: batch.get_task_file_properties(tree, "t", "wd/no")) == (404, None)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("stdout.txt", "printed\n"),
        ("wd/a/b/three.bin", "three\n"),
        ("wd/a/with space/ü+&%.txt", "ä\n"),
        ("wd/empty", ""),
    ],
)
def test_a_whole_read(batch: BatchClient, tree: str, path: str, expected: str) -> None:
    assert task_file(batch, tree, "t", path).decode() == expected


def test_a_slash_may_be_encoded_or_not(wire: Wire, tree: str) -> None:
    for path in ("wd/a/two.txt", "wd%2Fa%2Ftwo.txt", "wd%2fa/two.txt"):
        answer = wire.send("GET", f"/jobs/{tree}/tasks/t/files/{path}")
        assert (answer.status_code, answer.content) == (200, b"two\n"), path
    headers = wire.send("HEAD", f"/jobs/{tree}/tasks/t/files/wd%2Fa%2Ftwo.txt").headers
    assert headers["ocp-batch-file-isdirectory"] == "False"
    assert headers["content-length"] == "4"
    assert headers["content-type"].startswith("text/plain")
    assert headers["ocp-batch-file-mode"].startswith("0o100")
    assert "%2F" in headers["ocp-batch-file-url"].upper()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-3", b"0123"),
        ("bytes=4-4", b"4"),
        ("bytes=7-", b"789"),
        ("bytes=8-100", b"89"),
        ("bytes=0-9", b"0123456789"),
    ],
)
def test_a_ranged_read(batch: BatchClient, tree: str, asked: str, expected: bytes) -> None:
    got = content(batch.download_task_file(tree, "t", "wd/digits", ocp_range=asked))

    assert got == expected


def test_a_range_outside_the_file(batch: BatchClient, tree: str) -> None:
    def read() -> bytes:
        return content(batch.download_task_file(tree, "t", "wd/digits", ocp_range="bytes=10-12"))

    assert refusal(read) == (416, "InvalidRange")


def test_a_read_with_a_condition(batch: BatchClient, tree: str) -> None:
    hour = timedelta(hours=1)

    def read(**condition: datetime) -> bytes:
        return content(batch.download_task_file(tree, "t", "wd/digits", **condition))  # type: ignore[arg-type]

    now = datetime.now(UTC)
    assert read(if_modified_since=now - hour) == b"0123456789"
    assert read(if_unmodified_since=now + hour) == b"0123456789"
    assert refusal(lambda: read(if_unmodified_since=now - hour)) == (412, "ConditionNotMet")
    told = refusal(lambda: read(if_modified_since=now + hour))
    assert told is not None
    assert told[0] == 304


def test_files_are_read_while_the_task_runs(
    batch: BatchClient, pool: str, job: str, tmp_path: Path
) -> None:
    script = (
        f"echo first; echo early > early.txt; while ! [ -e {tmp_path}/go ]; do sleep 0.05; done; "
        "echo second"
    )
    add(batch, job, task_options("t", shell(script)))
    task = running(batch, job, "t")
    assert task.node_info is not None
    node = task.node_info.node_id
    assert node is not None
    below = f"workitems/{job}/job-1/t/stdout.txt"

    def printed() -> bool:
        return refusal(lambda: stdout(batch, job, "t")) is None and stdout(batch, job, "t") != ""

    eventually(printed, 10, "the first line")
    assert stdout(batch, job, "t") == "first\n"
    assert content(batch.download_node_file(pool, node, below)) == b"first\n"
    assert (
        content(batch.download_task_file(job, "t", "stdout.txt", ocp_range="bytes=1-3")) == b"irs"
    )
    assert "wd/early.txt" in {f.name for f in batch.list_task_files(job, "t", recursive=True)}
    assert batch.get_task(job, "t").state == "running"

    (tmp_path / "go").touch()

    eventually(lambda: batch.get_task(job, "t").state == "completed", 10, "the end")
    assert stdout(batch, job, "t") == "first\nsecond\n"


def test_a_big_file_is_streamed(batch: BatchClient, job: str) -> None:
    line = shell(f"yes 0123456789abcde | head -c {BIG_BYTES} > big")
    run(batch, job, [task_options("t", line)])
    expected = hashlib.sha256(b"0123456789abcde\n" * (BIG_BYTES // 16)).hexdigest()

    digest = hashlib.sha256()
    for chunk in batch.download_task_file(job, "t", "wd/big"):
        digest.update(chunk)

    assert digest.hexdigest() == expected


def test_a_reader_that_goes_away_harms_nobody(
    plain: Penstock, batch: BatchClient, job: str
) -> None:
    run(batch, job, [task_options("t", shell(f"head -c {BIG_BYTES} /dev/zero > big; echo x"))])

    for _ in range(20):
        client = plain.client()
        next(client.download_task_file(job, "t", "wd/big"))
        client.close()

    assert stdout(batch, job, "t") == "x\n"


def test_many_read_at_once(plain: Penstock, batch: BatchClient, job: str) -> None:
    run(batch, job, [task_options("t", shell("yes | head -c 2000000 > f"))])
    clients = [plain.client() for _ in range(16)]

    def read(client: BatchClient) -> list[int]:
        return [len(task_file(client, job, "t", "wd/f")) for _ in range(3)]

    with ThreadPoolExecutor(len(clients)) as threads:
        sizes = list(threads.map(read, clients))

    assert sizes == [[2_000_000] * 3] * len(clients)


# --- files that are not there ------------------------------------------------------------------


def test_files_of_a_task_that_never_ran(batch: BatchClient) -> None:
    with made_job(batch, job_options(unique("job"), unique("no-such-pool"))) as job:
        add(batch, job, task_options("t", "/bin/true"))
        expected = (409, "TaskFilesUnavailable")

        assert refusal(lambda: stdout(batch, job, "t")) == expected
        assert refusal(lambda: list(batch.list_task_files(job, "t"))) == expected


def test_files_of_a_node_that_is_gone(batch: BatchClient) -> None:
    with made_job(batch, job_options(unique("job"), pool := unique("brief"))) as job:
        with made_pool(batch, pool_options(pool)):
            run(batch, job, [task_options("t", "/bin/true")])
            assert stdout(batch, job, "t") == ""

        assert refusal(lambda: stdout(batch, job, "t")) == (409, "TaskFilesUnavailable")


@pytest.mark.parametrize(
    "path",
    [
        "no-such-file",
        "wd/no/such",
        "../t/stdout.txt",
        "wd/../../../../../../../../../../etc/passwd",
        "/etc/passwd",
        "wd//etc/passwd",
        "../../../../../../../../../../etc/passwd",
        "wd/\0",
        "a" * 3000,
        "wd/..\\..\\stdout.txt",
    ],
)
def test_paths_that_lead_nowhere_or_out(batch: BatchClient, tree: str, path: str) -> None:
    told = refusal(lambda: task_file(batch, tree, "t", path))

    assert told in ((404, "FileNotFound"), (400, "InvalidUri"))


@pytest.mark.parametrize(
    "path",
    [
        "../../../../../../etc/passwd",
        "..%2F..%2F..%2F..%2F..%2Fetc%2Fpasswd",
        "%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "%252e%252e%252fetc%252fpasswd",
        "%2Fetc%2Fpasswd",
        "//etc/passwd",
        "wd/%00",
        "wd/%ff%fe",
        "wd/%",
        "wd/%zz",
        ".",
        "wd/./../../../../../../etc/passwd",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_path_tricks_over_the_wire(wire: Wire, tree: str, path: str, method: str) -> None:
    answer = wire.send(method, f"/jobs/{tree}/tasks/t/files/{path}")

    assert answer.status_code in (400, 404, 405, 409), answer.text
    assert b"root:" not in answer.content
    if method != "HEAD":
        assert answer.json()["code"]
    assert wire.send("GET", f"/jobs/{tree}/tasks/t/files/stdout.txt").text == "printed\n"


def test_a_link_that_leads_out_is_not_followed(batch: BatchClient, job: str) -> None:
    run(batch, job, [task_options("t", shell("ln -s /etc/passwd out; ln -s / root; echo x > in"))])

    assert refusal(lambda: task_file(batch, job, "t", "wd/out")) == (404, "FileNotFound")
    assert refusal(lambda: task_file(batch, job, "t", "wd/root/etc/passwd")) == (
        404,
        "FileNotFound",
    )
    names = [file.name for file in batch.list_task_files(job, "t", recursive=True)]
    assert "wd/in" in names
    assert len(names) < 50, "the listing did not follow the link to the root directory"


# --- deleting ----------------------------------------------------------------------------------


def test_deleting_files(batch: BatchClient, job: str) -> None:
    line = shell("mkdir -p d/e empty; echo x > d/e/f; echo y > g; ln -s /etc link")
    run(batch, job, [task_options("t", line)])

    def names() -> set[str | None]:
        return {file.name for file in batch.list_task_files(job, "t", recursive=True)}

    batch.delete_task_file(job, "t", "wd/g")
    assert "wd/g" not in names()
    told = refusal(lambda: batch.delete_task_file(job, "t", "wd/d"))
    assert told is not None
    assert told[0] in (400, 409)
    assert "wd/d/e/f" in names()
    batch.delete_task_file(job, "t", "wd/empty")
    batch.delete_task_file(job, "t", "wd/d", recursive=True)
    assert not {"wd/d", "wd/d/e", "wd/d/e/f", "wd/empty"} & names()
    assert refusal(lambda: batch.delete_task_file(job, "t", "wd/g")) == (404, "FileNotFound")
    assert refusal(lambda: task_file(batch, job, "t", "wd/g")) == (404, "FileNotFound")
    assert stdout(batch, job, "t") == ""
    assert Path("/etc/passwd").exists()


# --- nodes -------------------------------------------------------------------------------------


def test_the_files_of_a_node(batch: BatchClient) -> None:
    line = shell("echo started; echo shared > $AZ_BATCH_NODE_SHARED_DIR/s; echo w > w")
    options = pool_options(unique("pool"), start_task=BatchStartTask(command_line=line))
    with made_pool(batch, options) as pool:
        (node,) = batch.list_nodes(pool)
        top = {file.name: file for file in batch.list_node_files(pool, node.id)}
        deep = {file.name for file in batch.list_node_files(pool, node.id, recursive=True)}
        printed = content(batch.download_node_file(pool, node.id, "startup/stdout.txt"))
        part = content(batch.download_node_file(pool, node.id, "shared/s", ocp_range="bytes=1-2"))
        about = batch.get_node_file_properties(pool, node.id, "shared/s")
        batch.delete_node_file(pool, node.id, "shared/s")
        after = refusal(lambda: content(batch.download_node_file(pool, node.id, "shared/s")))
        unknown = refusal(lambda: list(batch.list_node_files(pool, "no-such-node")))

    assert {"applications", "fsmounts", "shared", "startup", "volatile", "workitems"} <= set(top)
    assert all(top[name].is_directory for name in ("shared", "startup", "workitems"))
    assert {"shared/s", "startup/wd/w", "startup/stdout.txt"} <= deep
    assert printed == b"started\n"
    assert part == b"ha"
    assert int(about.content_length) == 7
    assert after == (404, "FileNotFound")
    assert unknown == (404, "NodeNotFound")
