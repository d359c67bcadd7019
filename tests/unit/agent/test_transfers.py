"""Resource files and output files, against a small server that stands in for a blob service."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from penstock.agent.downloads import Downloads
from penstock.agent.settings import AgentSettings
from penstock.agent.transfers import TransferFailed, Transfers
from penstock.agent.uploads import Uploads
from penstock.domain.records import Failure
from penstock.domain.specs.common import (
    OutputContainer,
    OutputDestination,
    OutputFile,
    ResourceFile,
    UploadHeader,
    UploadOptions,
)

SECRET = "c2VjcmV0"
SAS = f"?sv=2022-11-02&sig={SECRET}"


class Blobs:
    """A container ``data`` with blobs; ``none`` is not there, ``denied`` is not for us."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {"a.txt": b"A", "d/b c.txt": b"B", "d/e/": b"", "z/é": b"E"}
        self.headers: dict[str, dict[str, str]] = {}
        self.asked: Counter[str] = Counter()
        self.url = ""

    async def start(self) -> web.AppRunner:
        app = web.Application(client_max_size=1 << 28)
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*runner.addresses[0][:2])
        return runner

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        self.asked[path] += 1
        container, _, blob = path.partition("/")
        if container == "none":
            return web.Response(status=404, headers={"x-ms-error-code": "ContainerNotFound"})
        if container == "denied":
            return web.Response(status=403, headers={"x-ms-error-code": "AuthorizationFailure"})
        if container == "busy":
            return web.Response(status=503)
        if container == "shy" and self.asked[path] < 3:
            return web.Response(status=503)
        if container == "hang":
            await asyncio.Event().wait()
        if container == "moved":
            raise web.HTTPFound(f"/data/{blob}?{request.query_string}")
        if container == "torn":
            response = web.StreamResponse(headers={"Content-Length": "100"})
            await response.prepare(request)
            await response.write(b"x")
            assert request.transport is not None
            request.transport.abort()
            return response
        if request.method == "PUT":
            return await self.put(request, blob)
        if request.query.get("comp") == "list":
            return self.listed(request.query.get("prefix", ""))
        if request.query.get("sig") != SECRET:
            return web.Response(status=403)
        body = self.blobs.get(blob, b"S" if container == "shy" else None)
        return web.Response(status=404) if body is None else web.Response(body=body)

    async def put(self, request: web.Request, blob: str) -> web.Response:
        if blob == "conflict":
            return web.Response(status=409, headers={"x-ms-error-code": "BlobImmutable"})
        self.blobs[blob] = await request.read()
        self.headers[blob] = {name.lower(): value for name, value in request.headers.items()}
        return web.Response(status=201, headers={"ETag": '"1"'})

    def listed(self, prefix: str) -> web.Response:
        named = "".join(
            f"<Blob><Name>{name}</Name><Properties/></Blob>"
            for name in sorted(self.blobs)
            if name.startswith(prefix)
        )
        text = f"<EnumerationResults><Blobs>{named}</Blobs><NextMarker/></EnumerationResults>"
        return web.Response(text=text, content_type="application/xml")


Scene = Callable[[Blobs, Transfers], Awaitable[None]]


def play(scene: Scene, **settings: Any) -> None:
    async def whole() -> None:
        blobs = Blobs()
        runner = await blobs.start()
        given = {"data_dir": Path("/"), "locate": lambda: None, "token": "", **settings}
        with ThreadPoolExecutor(2) as executor:
            transfers = Transfers(AgentSettings(**given), executor)
            try:
                await scene(blobs, transfers)
            finally:
                await transfers.close()
                await runner.cleanup()

    asyncio.run(whole())


def details(why: Failure) -> dict[str, str]:
    return {detail.name: detail.value for detail in why.details}


# --- downloads -----------------------------------------------------------------------------------


def fetched(tmp_path: Path, *files: dict[str, Any], **settings: Any) -> Failure | None:
    """Fetch into ``tmp_path/wd``; ``{}`` in an address stands for the server's."""
    (tmp_path / "wd").mkdir(exist_ok=True)
    failure: list[Failure] = []

    async def scene(blobs: Blobs, transfers: Transfers) -> None:
        wanted = [
            ResourceFile(**{name: value.replace("{}", blobs.url) for name, value in file.items()})
            for file in files
        ]
        urls = {"linked": f"{blobs.url}/data{SAS}"}
        try:
            await Downloads(transfers).fetch(wanted, str(tmp_path / "wd"), urls)
        except TransferFailed as error:
            failure.append(error.why)

    play(scene, **settings)
    return failure[0] if failure else None


def contents(directory: Path) -> dict[str, str]:
    return {
        str(file.relative_to(directory)): file.read_text()
        for file in directory.rglob("*")
        if file.is_file()
    }


def test_the_three_forms_of_resource_files(tmp_path: Path) -> None:
    failure = fetched(
        tmp_path,
        {"http_url": "{}/data/a.txt" + SAS, "file_path": "in/one.txt"},
        {"http_url": "{}/moved/a.txt" + SAS, "file_path": "two", "file_mode": "0640"},
        {"storage_container_url": "{}/data" + SAS, "blob_prefix": "d/", "file_path": "c/"},
        {"auto_storage_container_name": "linked"},
    )
    assert failure is None
    work = tmp_path / "wd"
    assert contents(work) == {
        "in/one.txt": "A",
        "two": "A",
        "c/d/b c.txt": "B",
        "a.txt": "A",
        "d/b c.txt": "B",
        "z/é": "E",
    }
    assert (work / "in/one.txt").stat().st_mode & 0o7777 == 0o770
    assert (work / "two").stat().st_mode & 0o7777 == 0o640


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ({"http_url": "{}/data/nothing" + SAS, "file_path": "x"}, "BlobNotFound"),
        ({"http_url": "{}/data/a.txt?sig=wrong", "file_path": "x"}, "BlobAccessDenied"),
        ({"http_url": "{}/busy/x" + SAS, "file_path": "x"}, "BlobDownloadMiscError"),
        ({"http_url": "{}/torn/x" + SAS, "file_path": "x"}, "BlobDownloadMiscError"),
        ({"http_url": "http://127.0.0.1:1/x" + SAS, "file_path": "x"}, "BlobDownloadMiscError"),
        ({"http_url": "file:///etc/passwd", "file_path": "x"}, "BlobDownloadMiscError"),
        ({"http_url": "http://[bad/" + SAS, "file_path": "x"}, "BlobDownloadMiscError"),
        ({"http_url": "{}/data/a.txt" + SAS, "file_path": "../x"}, "ResourceFileCreateFailed"),
        ({"http_url": "{}/data/a.txt" + SAS, "file_path": "/tmp/x"}, "ResourceFileCreateFailed"),
        ({"http_url": "{}/data/a.txt" + SAS, "file_path": "d/"}, "ResourceFileCreateFailed"),
        (
            {"http_url": "{}/data/a.txt" + SAS, "file_path": "x", "file_mode": "9"},
            "ResourceFileCreateFailed",
        ),
        ({"storage_container_url": "{}/none" + SAS}, "ResourceContainerNotFound"),
        ({"storage_container_url": "{}/denied" + SAS}, "ResourceContainerAccessDenied"),
        ({"storage_container_url": "nonsense"}, "ResourceContainerListMiscError"),
        ({"auto_storage_container_name": "unknown"}, "ResourceContainerAccessDenied"),
    ],
)
def test_downloads_that_fail(tmp_path: Path, file: dict[str, str], code: str) -> None:
    failure = fetched(tmp_path, file, transfer_tries=2)
    assert failure is not None
    assert failure.code == code
    assert SECRET not in str(failure)
    if "file_path" in file and "file_mode" not in file:
        assert details(failure)["FilePath"] == file["file_path"]
        assert "BlobSource" in details(failure)


def test_a_download_that_hangs_times_out(tmp_path: Path) -> None:
    file = {"http_url": "{}/hang/x", "file_path": "x"}
    failure = fetched(tmp_path, file, idle_timeout_s=0.1, transfer_tries=1)
    assert failure is not None
    assert failure.code == "BlobDownloadTimedOut"


def test_a_server_that_is_busy_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    assert fetched(tmp_path, {"http_url": "{}/shy/x" + SAS, "file_path": "x"}) is None
    assert contents(tmp_path / "wd") == {"x": "S"}


def test_a_link_in_the_working_directory_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "wd").mkdir()
    (tmp_path / "wd" / "up").symlink_to(tmp_path)
    (tmp_path / "wd" / "x").symlink_to(tmp_path / "outside")
    for name in ("up/y", "x"):
        failure = fetched(tmp_path, {"http_url": "{}/data/a.txt" + SAS, "file_path": name})
        assert failure is not None
        assert failure.code == "ResourceFileCreateFailed"
    assert {file.name for file in tmp_path.iterdir()} == {"wd"}


def test_a_large_file_is_written_whole(tmp_path: Path) -> None:
    (tmp_path / "wd").mkdir()
    data = bytes(range(256)) * 20_000

    async def scene(blobs: Blobs, transfers: Transfers) -> None:
        blobs.blobs["large"] = data
        file = ResourceFile(http_url=f"{blobs.url}/data/large{SAS}", file_path="large")
        await Downloads(transfers).fetch([file], str(tmp_path / "wd"), {})

    play(scene)
    assert (tmp_path / "wd" / "large").read_bytes() == data


def test_a_cancelled_download_is_not_at_work_any_more(tmp_path: Path) -> None:
    (tmp_path / "wd").mkdir()

    async def scene(blobs: Blobs, transfers: Transfers) -> None:
        file = ResourceFile(http_url=f"{blobs.url}/hang/x", file_path="x")
        before = asyncio.all_tasks()
        fetch = asyncio.ensure_future(Downloads(transfers).fetch([file], str(tmp_path / "wd"), {}))
        async with asyncio.timeout(10):
            while not blobs.asked["hang/x"]:
                await asyncio.sleep(0.01)
        fetch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetch
        names = {task.get_coro().__qualname__ for task in asyncio.all_tasks() - before}  # type: ignore[union-attr]
        assert "Downloads._one" not in names

    play(scene)


# --- uploads -------------------------------------------------------------------------------------


def output(pattern: str, container: str, **more: Any) -> dict[str, Any]:
    return {"pattern": pattern, "container": container, **more}


def uploaded(
    tmp_path: Path, *wanted: dict[str, Any], failed_run: bool = False
) -> tuple[Failure | None, Blobs]:
    task = tmp_path / "task"
    for name in ("wd/a.txt", "wd/d/b.txt", "stdout.txt", "stderr.txt"):
        (task / name).parent.mkdir(parents=True, exist_ok=True)
        (task / name).write_text(name)
    answer: list[Any] = []

    async def scene(blobs: Blobs, transfers: Transfers) -> None:
        files = [
            OutputFile(
                file_pattern=one["pattern"],
                destination=OutputDestination(
                    container=OutputContainer(
                        container_url=one["container"].replace("{}", blobs.url) + SAS,
                        path=one.get("path"),
                        upload_headers=one.get("headers"),
                    )
                ),
                upload_options=UploadOptions(upload_condition=one.get("when", "taskcompletion")),
            )
            for one in wanted
        ]
        blobs.blobs.clear()
        failure = await Uploads(transfers).upload(
            files, str(task), str(tmp_path), {"NAME": "a"}, failed_run=failed_run
        )
        answer.extend([failure, blobs])

    play(scene, transfer_tries=1)
    return answer[0], answer[1]


@pytest.mark.parametrize(
    ("pattern", "path", "names"),
    [
        ("**/*.txt", None, {"a.txt": b"wd/a.txt", "d/b.txt": b"wd/d/b.txt"}),
        ("**/*.txt", "out/", {"out/a.txt": b"wd/a.txt", "out/d/b.txt": b"wd/d/b.txt"}),
        ("../std*.txt", "log", {"log/stdout.txt": b"stdout.txt", "log/stderr.txt": b"stderr.txt"}),
        ("../stdout.txt", "log/1.txt", {"log/1.txt": b"stdout.txt"}),
        ("$NAME.txt", None, {"a.txt": b"wd/a.txt"}),
        ("*.none", None, {}),
    ],
)
def test_names_of_outputs(
    tmp_path: Path, pattern: str, path: str | None, names: dict[str, bytes]
) -> None:
    failure, blobs = uploaded(tmp_path, output(pattern, "{}/data", path=path))
    assert failure is None
    assert blobs.blobs == names
    log = (tmp_path / "task" / "fileuploadout.txt").read_text()
    assert log.count("\n") == len(names)
    assert (tmp_path / "task" / "fileuploaderr.txt").read_text() == ""


def test_headers_of_outputs(tmp_path: Path) -> None:
    headers = [
        UploadHeader(name="x-ms-blob-content-type", value="text/x"),
        UploadHeader(name="Content-Encoding", value="none"),
        UploadHeader(name="x-ms-meta-k", value="v"),
    ]
    _, blobs = uploaded(tmp_path, output("a.txt", "{}/data", headers=headers))
    sent = blobs.headers["a.txt"]
    assert sent["x-ms-blob-content-type"] == "text/x"
    assert sent["x-ms-blob-content-encoding"] == "none"
    assert sent["x-ms-meta-k"] == "v"


def test_only_what_the_condition_asks_for(tmp_path: Path) -> None:
    wanted = [
        output("a.txt", "{}/data", path=when, when=when)
        for when in ("tasksuccess", "taskfailure", "taskcompletion")
    ]
    assert set(uploaded(tmp_path, *wanted)[1].blobs) == {"tasksuccess", "taskcompletion"}
    failed = uploaded(tmp_path, *wanted, failed_run=True)[1]
    assert set(failed.blobs) == {"taskfailure", "taskcompletion"}


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (output("a.txt", "{}/none"), "FileUploadContainerNotFound"),
        (output("a.txt", "{}/denied"), "FileUploadAccessDenied"),
        (output("a.txt", "{}/data", path="conflict"), "FileUploadConflict"),
        (output("a.txt", "http://127.0.0.1:1/data"), "FileUploadMiscError"),
        (output("a.txt", "nonsense"), "FileUploadMiscError"),
        (output("missing.txt", "{}/data"), "FileUploadMiscError"),
        (output("/etc/passwd", "{}/data"), "FileUploadMiscError"),
    ],
)
def test_uploads_that_fail(tmp_path: Path, wanted: dict[str, Any], code: str) -> None:
    failure, blobs = uploaded(tmp_path, wanted, output("d/b.txt", "{}/data"))
    assert failure is not None
    assert failure.code == code
    assert blobs.blobs == {"d/b.txt": b"wd/d/b.txt"}
    log = (tmp_path / "task" / "fileuploaderr.txt").read_text()
    assert code in log
    assert SECRET not in log + str(failure)
