"""A server in this process, put together as `penstock up` does it, with node hosts beside it.

It has real addresses, a real database and real node hosts, which are processes. That it is in
this process lets a test look at what it commits.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import uvloop
from azure.batch import BatchClient
from azure.core.credentials import AzureNamedKeyCredential

from penstock.config import Config
from penstock.domain.development import DEVELOPMENT_KEY, DEVELOPMENT_NAME
from penstock.launch import accounts, listeners, tls
from penstock.launch.assembly import run_server
from penstock.launch.datadir import DataDir
from penstock.launch.plan import Plan
from tests.e2e.harness import COMMAND, START_S, STOP_S, Ready, environment, processes_naming, shown
from tests.e2e.waiting import eventually

_END_S: Final = 20.0


class _Errors(logging.Handler):
    """Keeps what the server logs as errors: each is a bug of ours."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class Inside:
    """The server; a context manager that starts and ends it, and the host that it has."""

    def __init__(self, place: Path, config: Config) -> None:
        self.place = place
        self.config = config
        self.host = Host(self, place / "host")
        self._errors = _Errors()
        self._listening = threading.Event()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(_process_kept())
            data = DataDir(self.place / "data").claim()
            stack.callback(data.release)
            bound = listeners.bind("127.0.0.1", 0, 0)
            stack.callback(bound.close)
            self.plan = Plan(
                config=self.config,
                data=data,
                listeners=bound,
                tls=tls.ensure(data.tls, tls.names_for(("127.0.0.1",)), tls.utc_now()),
                users=accounts.development(""),
                agent_token=data.token(),
                emulator=True,
            )
            log = logging.getLogger("penstock")
            log.addHandler(self._errors)
            stack.callback(log.removeHandler, self._errors)
            self._thread = threading.Thread(target=self._run, name="server", daemon=True)
            self._thread.start()
            stack.callback(self._stop)
            assert self._listening.wait(START_S), "the server does not listen"
            stack.callback(self.host.end)
            self.client = BatchClient(
                self.ready.endpoint,
                AzureNamedKeyCredential(DEVELOPMENT_NAME, DEVELOPMENT_KEY),
                retry_total=0,
            )
            stack.callback(self.client.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def ready(self) -> Ready:
        """What a ready file would say."""
        return Ready(
            endpoint=self.plan.listeners.endpoint,
            tls_endpoint=self.plan.listeners.tls_endpoint,
            ca_file=self.plan.tls.ca,
            account_name=DEVELOPMENT_NAME,
            account_key=DEVELOPMENT_KEY,
            storage_connection_string=None,
            data_dir=self.plan.data.root,
            pid=os.getpid(),
        )

    @property
    def errors(self) -> list[str]:
        """What it logged as errors."""
        return self._errors.lines

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._live())

    async def _live(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        await run_server(self.plan, stop=self._end, on_ready=self._listening.set)

    def _stop(self) -> None:
        if self._listening.is_set():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(STOP_S)
        assert not self._thread.is_alive(), "the server does not stop"


@contextmanager
def _process_kept() -> Iterator[None]:
    """Undo what a server does to the process that it thinks its own."""
    collector, log = gc.get_threshold(), logging.getLogger("uvicorn.error")
    level = log.level
    try:
        yield
    finally:
        gc.set_threshold(*collector)
        gc.unfreeze()
        log.setLevel(level)


class Host:
    """A `penstock agent`, and the faults that befall it."""

    def __init__(self, service: Inside, place: Path) -> None:
        self._service = service
        self._place = place
        self._log = place.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def nodes(self) -> Path:
        """The directory with one directory a pool."""
        return self._place / "nodes"

    def start(self) -> None:
        """Start it, unless it runs, and wait until the server has greeted it."""
        if self._process is not None:
            return
        plan = self._service.plan
        words = ["agent", "--server", plan.listeners.endpoint]
        words += ["--token-file", str(plan.data.agent_token), "--data", str(self._place)]
        before = self._greetings()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment(), "PENSTOCK_KILL_GRACE_S": "0.5"},
                start_new_session=True,
            )
        eventually(lambda: self._greetings() > before, START_S, "a node host on its link")

    def _greetings(self) -> int:
        return self._log.read_text().count("link_up") if self._log.exists() else 0

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it stand still: what it is told to do is not done, and it says nothing."""
        assert self._process is not None, "not started"
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once. What it started lives on, until its next life ends that."""
        assert self._process is not None, "not started"
        self._process.kill()
        self._process.wait(STOP_S)
        self._process = None

    def end(self) -> None:
        """End it as its user does; nothing of it may be left."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_S)
            self._process = None
        try:
            eventually(self._is_gone, _END_S, "the end of a node host", seen=self._left)
        finally:
            for process in processes_naming(str(self._place)):
                process.kill()

    def _is_gone(self) -> bool:
        return not processes_naming(str(self._place))

    def _left(self) -> list[str]:
        return shown(processes_naming(str(self._place)))

    def forget_all(self) -> None:
        """Lose what it knew of its nodes and tasks, as with a disk that was exchanged."""
        assert self._process is None, "it runs"
        (self._place / "journal").unlink()
