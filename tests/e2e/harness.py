"""One Penstock of a test's own: started as a user starts it, watched, killed, and cleaned up.

Everything that `penstock up` starts names its data directory in the command line or in the
environment, so that is how what belongs to it is found, and how a leak is told.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from azure.batch import BatchClient
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import BlobServiceClient

from tests.e2e.waiting import eventually

COMMAND = (sys.executable, "-m", "penstock")
SOURCE = Path(__file__).parents[2] / "src"
START_S = 20.0
FIRST_AZURITE_S = 240.0
"""The first start ever may have to install Azurite."""
STOP_S = 10.0
"""Twice what the contract allows, for machines that do other work at the same time."""


class StartFailed(AssertionError):
    """A Penstock did not come up; the message ends with what it printed."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What the ready file says."""

    endpoint: str
    tls_endpoint: str
    ca_file: Path
    account_name: str
    account_key: str
    storage_connection_string: str | None
    data_dir: Path
    pid: int

    @classmethod
    def read(cls, file: Path) -> Ready:
        """Read the file that `--ready-file` names. Raises KeyError where a field is missing."""
        said: Mapping[str, Any] = json.loads(file.read_text())
        return cls(
            endpoint=said["endpoint"],
            tls_endpoint=said["tlsEndpoint"],
            ca_file=Path(said["caFile"]),
            account_name=said["accountName"],
            account_key=said["accountKey"],
            storage_connection_string=said["storageConnectionString"] or None,
            data_dir=Path(said["dataDir"]),
            pid=said["pid"],
        )


def refused(words: Sequence[str], within_s: float = START_S, **settings: str) -> str:
    """Run a `penstock` that has to refuse by itself; give all that it printed."""
    done = subprocess.run(
        [*COMMAND, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**environment(), **settings},
        timeout=within_s,
        text=True,
        check=False,
    )
    assert done.returncode > 0, f"it ended with {done.returncode}:\n{done.stdout}"
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


def environment() -> dict[str, str]:
    """The environment of a child: this one, with the package under test importable.

    Without the switch of the tests, which a server would refuse as a setting that it does not know.
    """
    paths = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
    kept = {name: value for name, value in os.environ.items() if name != "PENSTOCK_RECORD"}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}


def processes_naming(text: str) -> list[psutil.Process]:
    """Living processes, other than this one, with `text` in command line or environment."""
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _names(process, text)
    ]


def _names(process: psutil.Process, text: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        said = [*process.cmdline(), *process.environ().values()]
    except psutil.Error:
        return False  # it ended while we looked
    return any(text in part for part in said)


def shown(processes: Iterable[psutil.Process]) -> list[str]:
    """Describe processes for a failure message."""
    lines = []
    for process in processes:
        try:
            lines.append(f"{process.pid} {process.status()} {' '.join(process.cmdline())[:200]}")
        except psutil.Error:
            lines.append(f"{process.pid} (ended meanwhile)")
    return lines


@contextmanager
def agent(*words: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`penstock agent`, as somebody starts it by hand; ended at the end."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*COMMAND, "agent", *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=environment(),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=STOP_S)
            raise AssertionError(f"the agent did not stop: {log.read_text()[-4000:]}") from None


class Penstock:
    """`penstock up` (or `serve`) on a data directory; a context manager that starts and ends it."""

    def __init__(
        self,
        data: Path,
        *,
        verb: str = "up",
        storage: str = "none",
        arguments: Sequence[str] = (),
    ) -> None:
        self.data = data
        self.verb = verb
        self.storage = storage
        self.arguments = arguments
        self.log = data.parent / f"{data.name}.log"
        self.ready_file = data.parent / f"{data.name}.ready.json"
        self.start_s = 0.0  # how long the last start took
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: Ready | None = None
        self._clients: list[BatchClient | BlobServiceClient] = []

    # --- life --------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def command(self) -> list[str]:
        """The words that start it."""
        fixed = (self.verb, "--port", "0", "--tls-port", "0")
        places = ("--data", str(self.data), "--ready-file", str(self.ready_file))
        return [*COMMAND, *fixed, *places, "--storage", self.storage, *self.arguments]

    def start(self) -> Ready:
        """Start it and wait until it says that it is ready."""
        began = time.monotonic()
        process = self.launch()
        within_s = FIRST_AZURITE_S if self.storage == "azurite" else START_S
        try:
            eventually(
                lambda: self.ready_file.exists() or process.poll() is not None,
                within_s,
                "a ready file",
                every_s=0.005,
            )
            if not self.ready_file.exists():
                raise StartFailed(f"ended with {process.returncode}; it printed:\n{self.printed()}")
            self.start_s = time.monotonic() - began
            self._ready = Ready.read(self.ready_file)
        except AssertionError as error:
            self.clean_up()
            raise StartFailed(f"{error}\n{self.printed()}") from error
        return self._ready

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it and wait for nothing."""
        self.ready_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            # In a session of its own, so that a test can press Ctrl-C on it as a terminal does.
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                start_new_session=True,
            )
        return self._process

    def send_signal(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the server, or to its whole process group as a terminal does."""
        if group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def terminate(self, number: signal.Signals = signal.SIGTERM, *, group: bool = False) -> float:
        """Stop it cleanly and check that nothing is left; give the seconds that it took."""
        began = time.monotonic()
        self.send_signal(number, group=group)
        try:
            code = self.process.wait(timeout=STOP_S)
            self.expect_nothing_left(STOP_S - (time.monotonic() - began))
        except subprocess.TimeoutExpired:
            self.clean_up()
            raise AssertionError(f"alive {STOP_S} s after {number!r}: {self.printed()}") from None
        assert code in (0, 128 + number), f"ended with {code}:\n{self.printed()}"
        self._forget()
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL the server, and only the server."""
        self.process.kill()
        self.process.wait(timeout=STOP_S)
        self._forget()

    def restart(self) -> Ready:
        """Start again on the same data directory, stopping the running one first."""
        if self._process is not None:
            self.terminate()
        return self.start()

    def close(self) -> None:
        """End it, if it runs, and check that nothing is left in any case."""
        if self._process is not None and self._process.poll() is None:
            self.terminate()
        else:
            self.expect_nothing_left(STOP_S)

    # --- what belongs to it ------------------------------------------------------------------

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server's process."""
        assert self._process is not None, "not started"
        return self._process

    @property
    def ready(self) -> Ready:
        """What the ready file of the running one says."""
        assert self._ready is not None, "not started"
        return self._ready

    def printed(self) -> str:
        """The end of what it and its children printed so far."""
        logs = [self.log, *sorted((self.data / "logs").glob("*.log"))]
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}"
            for log in logs
            if log.exists()
        )

    def node_host(self) -> psutil.Process:
        """The process that hosts the nodes; after a takeover it need not be a child."""
        return eventually(
            lambda: next(iter(self._node_hosts()), None), 10, "a node host of this data directory"
        )

    def _node_hosts(self) -> list[psutil.Process]:
        found = []
        for process in processes_naming(str(self.data)):
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if "agent" in words and any("penstock" in word for word in words):
                found.append(process)
        return found

    def living(self) -> list[psutil.Process]:
        """Every process of this data directory, the server and the tasks included."""
        return processes_naming(str(self.data))

    def expect_nothing_left(self, within_s: float) -> None:
        """Fail, naming them, if processes of this data directory outlive the bound."""
        try:
            eventually(
                lambda: not self.living(),
                max(within_s, 0.1),
                f"the end of all processes of {self.data}",
                seen=lambda: shown(self.living()),
            )
        except AssertionError:
            self.clean_up()
            raise

    def clean_up(self) -> None:
        """Kill what is left, so that one failing test does not disturb the next."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(timeout=STOP_S)
        for process in self.living():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self._forget()

    def _forget(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()
        self._process = None
        self._ready = None

    # --- clients -----------------------------------------------------------------------------

    def client(self, *, tls: bool = False) -> BatchClient:
        """An official client that shows every error: it repeats nothing by itself."""
        ready = self.ready
        client = BatchClient(
            ready.tls_endpoint if tls else ready.endpoint,
            AzureNamedKeyCredential(ready.account_name, ready.account_key),
            retry_total=0,
        )
        self._clients.append(client)
        return client

    def blobs(self) -> BlobServiceClient:
        """A client of the linked storage account."""
        connection = self.ready.storage_connection_string
        assert connection is not None, "this one has no storage"
        client = BlobServiceClient.from_connection_string(connection)
        self._clients.append(client)
        return client
