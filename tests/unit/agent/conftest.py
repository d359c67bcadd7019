"""A real node host in a process of its own, and a server end that a test drives."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from aiohttp import WSMsgType, web

from penstock.messages import (
    FILE_INFO_HEADER,
    FILE_STATUS_HEADER,
    FILES_PATH,
    LINK_PATH,
    AskFile,
    Confirm,
    FileInfo,
    Hello,
    Instruction,
    MakeNode,
    NodeReady,
    Report,
    RunTask,
    StartTaskOrder,
    TaskEnded,
    Welcome,
    encode,
    reports,
)

HERE = Path(__file__).parent
SOURCE = HERE.parents[2] / "src"
TOKEN = "a token of the tests"
PATIENCE_S = 20.0

ReportT = TypeVar("ReportT")


class Answer(msgspec.Struct):
    """What the host said to a question about files."""

    status: str
    info: FileInfo | None
    body: bytes


class Server:
    """The server's end of the link. Confirms nothing unless told to."""

    def __init__(self) -> None:
        self.hellos: list[Hello] = []
        self.reports: list[Report] = []
        self.nodes: tuple[int, ...] = ()
        self.attempts: tuple[tuple[int, int], ...] = ()
        self.confirmed = 0
        self.name = "the server"
        self.url = ""
        self.blobs: dict[str, bytes] = {}  # that tasks read and write below ``/blobs``
        self.hangs = 0  # requests that get no answer
        self.changed = asyncio.Condition()
        self._answers: dict[str, Answer] = {}
        self._socket: web.WebSocketResponse | None = None
        self._questions = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_get(LINK_PATH, self._link)
        app.router.add_post(FILES_PATH + "{request}", self._file)
        app.router.add_get("/blobs/hang", self._hang)
        app.router.add_get("/blobs/{name:.+}", self._blob)
        app.router.add_put("/blobs/{name:.+}", self._put_blob)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        await self.cut()
        if self._runner is not None:
            await self._runner.cleanup()

    async def cut(self) -> None:
        """Break the connection that stands."""
        if self._socket is not None:
            socket, self._socket = self._socket, None
            await socket.close()

    async def send(self, *messages: Instruction) -> None:
        await self.until(lambda: self._socket is not None)
        assert self._socket is not None
        await self._socket.send_bytes(encode(messages))

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds, looking after each message; not for ever."""
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(lambda: bool(holds()))

    async def heard(
        self, kind: type[ReportT], where: Callable[[ReportT], bool] = lambda _: True
    ) -> ReportT:
        """Wait for a report, and give the first such one."""

        def found() -> list[ReportT]:
            return [one for one in self.reports if isinstance(one, kind) and where(one)]

        await self.until(found)
        return found()[0]

    async def node(self, number: int = 1, start_task: StartTaskOrder | None = None) -> None:
        """Have a node made, and wait until it is ready."""
        self.nodes = (*self.nodes, number)
        await self.send(make_node(number, start_task))
        await self.ready(number)

    async def ready(self, number: int) -> None:
        await self.heard(NodeReady, lambda report: report.node_no == number)

    def make_node(self, number: int, start_task: StartTaskOrder | None = None) -> MakeNode:
        return make_node(number, start_task)

    async def ended(self, task_no: int, attempt: int = 1) -> TaskEnded:
        return await self.heard(
            TaskEnded, lambda end: (end.task_no, end.attempt) == (task_no, attempt)
        )

    def order(self, command_line: str, task_no: int = 1, **more: Any) -> RunTask:
        return run_task(command_line, task_no, **more)

    async def run(self, command_line: str, task_no: int = 1, **more: Any) -> TaskEnded:
        """Run a task to its end."""
        order = run_task(command_line, task_no, **more)
        await self.send(order)
        return await self.ended(task_no, order.attempt)

    async def ask(self, what: str, path: str = "", **more: Any) -> Answer:
        """Ask about a file of node 1."""
        self._questions += 1
        request = f"q{self._questions}"
        question: dict[str, Any] = {"node_no": 1, "root": "", **more}
        await self.send(AskFile(request=request, what=what, path=path, **question))
        await self.until(lambda: request in self._answers)
        return self._answers[request]

    async def confirm_all(self) -> None:
        numbers = [getattr(report, "report", 0) for report in self.reports]
        await self.send(Confirm(report=max(numbers)))

    async def _link(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401)
        socket = web.WebSocketResponse(max_msg_size=1 << 26)
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                break
            for report in reports(message.data):
                await self._take(report, socket)
        return socket

    async def _take(self, report: Report, socket: web.WebSocketResponse) -> None:
        if isinstance(report, Hello):
            welcome = Welcome(
                server=self.name,
                nodes=self.nodes,
                attempts=self.attempts or report.attempts,
                heartbeat_s=0.2,
                confirmed=self.confirmed,
            )
            await socket.send_bytes(encode([welcome]))
        async with self.changed:
            if isinstance(report, Hello):
                self.hellos.append(report)
                self._socket = socket
            else:
                self.reports.append(report)
            self.changed.notify_all()

    async def _blob(self, request: web.Request) -> web.Response:
        blob = self.blobs.get(request.match_info["name"])
        return web.Response(status=404) if blob is None else web.Response(body=blob)

    async def _put_blob(self, request: web.Request) -> web.Response:
        self.blobs[request.match_info["name"]] = await request.read()
        return web.Response(status=201, headers={"ETag": '"1"'})

    async def _hang(self, _: web.Request) -> web.Response:
        async with self.changed:
            self.hangs += 1
            self.changed.notify_all()
        await asyncio.Event().wait()
        return web.Response()

    async def _file(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        info = request.headers.get(FILE_INFO_HEADER)
        answer = Answer(
            request.headers[FILE_STATUS_HEADER],
            None if info is None else msgspec.json.decode(info, type=FileInfo),
            await request.read(),
        )
        async with self.changed:
            self._answers[request.match_info["request"]] = answer
            self.changed.notify_all()
        return web.Response()


class Host:
    """The process of a node host."""

    def __init__(self, directory: Path, server: Server, loop: str, **settings: Any) -> None:
        self.directory = directory
        self.endpoint = directory / "endpoint"
        self.endpoint.write_text(server.url)
        self.nodes_root = directory / "nodes"
        self._loop = loop
        self._settings = {
            "data_dir": str(directory),
            "token": TOKEN,
            "endpoint_file": str(self.endpoint),
            "kill_grace_s": 0.3,
            "max_processes": 500,
            "stop_grace_s": 0.2,
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "host_main.py"), json.dumps(self._settings), self._loop],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(5)

    async def exit(self, within_s: float = 5.0) -> int:
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, within_s)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def task(self, task_id: str, job_id: str = "job", node: str = "node1") -> Path:
        return self.nodes_root / "pool" / node / "workitems" / job_id / "job-1" / task_id

    def output(self, task_id: str) -> str:
        return (self.task(task_id) / "stdout.txt").read_text()


def make_node(number: int = 1, start_task: StartTaskOrder | None = None) -> MakeNode:
    return MakeNode(
        node_no=number,
        node_id=f"node{number}",
        pool_id="pool",
        account="account",
        account_url="https://account.example",
        dedicated=True,
        slots=4,
        cores=2,
        start_task=start_task,
    )


def run_task(
    command_line: str, task_no: int = 1, attempt: int = 1, node_no: int = 1, **more: Any
) -> RunTask:
    return RunTask(
        node_no=node_no,
        task_no=task_no,
        attempt=attempt,
        job_id="job",
        task_id=f"task{task_no}",
        command_line=command_line,
        **more,
    )


@asynccontextmanager
async def stage(directory: Path, loop: str, **settings: Any) -> AsyncIterator[tuple[Server, Host]]:
    """A server and a running host; the host has ended when this ends."""
    server = Server()
    await server.start()
    host = Host(directory, server, loop, **settings)
    host.start()
    try:
        yield server, host
    finally:
        await asyncio.to_thread(host.stop)
        await server.stop()


@pytest.fixture(params=["asyncio"])
def loop_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def play(tmp_path: Path, loop_name: str) -> Callable[..., None]:
    """Run a coroutine with a server and a host, and see that no process of the host is left."""

    def run(scene: Callable[[Server, Host], Coroutine[Any, Any, None]], **settings: Any) -> None:
        async def whole() -> None:
            async with stage(tmp_path, loop_name, **settings) as (server, host):
                await scene(server, host)

        asyncio.run(whole())

    return run
