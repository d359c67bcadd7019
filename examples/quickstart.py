"""The main job of a Batch user: files in, tasks run, results out.

It takes the source files of the running Python's standard library, packs them into chunks,
uploads those, has a pool of nodes look at them, one task per chunk, and merges what they found
in a last task that depends on all the others. It uses the official SDKs and nothing else.

    python examples/quickstart.py READY_FILE [OUTPUT_DIRECTORY]

READY_FILE is what `penstock up --ready-file READY_FILE` writes.
"""

from __future__ import annotations

import io
import json
import sys
import sysconfig
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from azure.batch import BatchClient
from azure.batch.models import (
    BatchJobCreateOptions,
    BatchPoolCreateOptions,
    BatchPoolInfo,
    BatchTask,
    BatchTaskCreateOptions,
    BatchTaskDependencies,
    BatchTaskIdRange,
    BatchTaskState,
    BatchVmImageReference,
    OutputFile,
    OutputFileBlobContainerDestination,
    OutputFileDestination,
    OutputFileUploadConfiguration,
    ResourceFile,
    VirtualMachineConfiguration,
)
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import BlobServiceClient, generate_blob_sas, generate_container_sas
from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

NODES = 4
CHUNKS = 24
MOST_FILES = 600
PATIENCE_S = 300
SCRIPT = Path(__file__).with_name("analyse.py")

console = Console()


class Storage:
    """The containers of one run: what goes in, and what comes out."""

    def __init__(self, connection_string: str, run: str) -> None:
        self.client = BlobServiceClient.from_connection_string(connection_string)
        self.inputs = self.client.create_container(f"{run}-in")
        self.outputs = self.client.create_container(f"{run}-out")
        self.until = datetime.now(UTC) + timedelta(hours=1)

    def _sas(self) -> dict:
        credential = self.client.credential
        return {
            "account_name": credential.account_name,
            "account_key": credential.account_key,
            "expiry": self.until,
        }

    def file(self, name: str) -> ResourceFile:
        """One blob, by a URL with a signature."""
        container = self.inputs.container_name
        sas = generate_blob_sas(
            container_name=container, blob_name=name, permission="r", **self._sas()
        )
        url = f"{self.inputs.get_blob_client(name).url}?{sas}"
        return ResourceFile(http_url=url, file_path=name)

    def files(self, prefix: str, *, of_results: bool = False) -> ResourceFile:
        """All blobs below a prefix."""
        container = self.outputs if of_results else self.inputs
        sas = generate_container_sas(
            container_name=container.container_name, permission="rl", **self._sas()
        )
        return ResourceFile(storage_container_url=f"{container.url}?{sas}", blob_prefix=prefix)

    def result(self, file: str, blob: str) -> OutputFile:
        """Where a file of a task that succeeded goes."""
        sas = generate_container_sas(
            container_name=self.outputs.container_name, permission="racwl", **self._sas()
        )
        container = OutputFileBlobContainerDestination(
            container_url=f"{self.outputs.url}?{sas}", path=blob
        )
        return OutputFile(
            file_pattern=file,
            destination=OutputFileDestination(container=container),
            upload_options=OutputFileUploadConfiguration(upload_condition="tasksuccess"),
        )


# [start: readme]
def submit(batch: BatchClient, storage: Storage, run: str, chunks: int) -> None:
    """Create a pool and a job; add a task per chunk, and one that merges what they found."""
    image = BatchVmImageReference(publisher="canonical", offer="ubuntu-24_04-lts", sku="server")
    batch.create_pool(
        BatchPoolCreateOptions(
            id=run,
            vm_size="standard_d2s_v3",
            virtual_machine_configuration=VirtualMachineConfiguration(
                image_reference=image, node_agent_sku_id="batch.node.ubuntu 24.04"
            ),
            target_dedicated_nodes=NODES,
        )
    )
    pool = BatchPoolInfo(pool_id=run)
    batch.create_job(BatchJobCreateOptions(id=run, pool_info=pool, uses_task_dependencies=True))
    tasks = [
        BatchTaskCreateOptions(
            id=str(n),
            command_line=f"python3 analyse.py count chunks/{n}/sources.zip {n}.json",
            resource_files=[storage.file("analyse.py"), storage.files(f"chunks/{n}/")],
            output_files=[storage.result(f"{n}.json", f"parts/{n}.json")],
        )
        for n in range(1, chunks + 1)
    ]
    merge = BatchTaskCreateOptions(
        id="merge",
        command_line="python3 analyse.py merge parts total.json",
        resource_files=[storage.file("analyse.py"), storage.files("parts/", of_results=True)],
        output_files=[storage.result("total.json", "total.json")],
        depends_on=BatchTaskDependencies(task_id_ranges=[BatchTaskIdRange(start=1, end=chunks)]),
    )
    batch.create_tasks(run, [*tasks, merge])


# [end: readme]


def sources() -> list[Path]:
    """The files of the standard library, tests and packages that were added left out."""
    root = Path(sysconfig.get_path("stdlib"))
    left_out = {"site-packages", "dist-packages", "test", "tests", "idlelib", "__pycache__"}
    found = (
        file
        for file in sorted(root.rglob("*.py"))
        if not left_out & set(file.relative_to(root).parts)
    )
    return list(found)[:MOST_FILES]


def packed(files: list[Path], chunks: int) -> Iterator[tuple[str, bytes]]:
    """Chunks of about the same size as zip files, with the names of their blobs."""
    root = Path(sysconfig.get_path("stdlib"))
    by_size = sorted(files, key=lambda file: file.stat().st_size, reverse=True)
    for n in range(1, chunks + 1):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as chunk:
            for file in by_size[n - 1 :: chunks]:
                chunk.write(file, file.relative_to(root))
        yield f"chunks/{n}/sources.zip", buffer.getvalue()


def upload(storage: Storage, files: list[Path], progress: Progress) -> None:
    """Upload the script and the chunks."""
    bar = progress.add_task("Uploading chunks", total=CHUNKS)
    storage.inputs.upload_blob("analyse.py", SCRIPT.read_bytes())
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda it: storage.inputs.upload_blob(*it), packed(files, CHUNKS)):
            progress.advance(bar)


def watch(batch: BatchClient, run: str, progress: Progress) -> list[BatchTask]:
    """Show nodes and tasks until all tasks are completed."""
    nodes = progress.add_task("Nodes ready", total=NODES)
    tasks = progress.add_task("Tasks completed", total=CHUNKS + 1)
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        states = [node.state for node in batch.list_nodes(run, select=["id", "state"])]
        progress.update(nodes, completed=sum(state in ("idle", "running") for state in states))
        counts = batch.get_job_task_counts(run).task_counts
        progress.update(tasks, completed=counts.completed)
        if counts.completed > CHUNKS:
            progress.update(nodes, completed=NODES)
            return list(batch.list_tasks(run))
        time.sleep(0.1)
    sys.exit(f"The tasks did not end within {PATIENCE_S} s.")


def check(batch: BatchClient, run: str, tasks: list[BatchTask]) -> None:
    """Stop with the reason when a task failed, as a user would find it."""
    for task in tasks:
        info = task.execution_info
        assert task.state == BatchTaskState.COMPLETED
        if info.result != "success":
            said = b"".join(batch.download_task_file(run, task.id, "stderr.txt")).decode()
            sys.exit(f"Task {task.id} failed: {info.failure_info.message}\n{said}")


def show_findings(total: dict) -> None:
    """Something about Python that not everybody knows."""
    longest = Table(title="Longest functions")
    longest.add_column("Lines", justify="right", style="bold magenta")
    longest.add_column("Function")
    longest.add_column("Where", style="dim")
    for lines, name, where in total["longest"][:8]:
        longest.add_row(str(lines), name, where)
    imports, names = Table(title="Most imported"), Table(title="Most used names")
    for table, kind in ((imports, "imports"), (names, "names")):
        table.add_column("Name", style="cyan")
        table.add_column("Files" if kind == "imports" else "Times", justify="right")
        for name, number in list(total[kind].items())[:8]:
            table.add_row(name, f"{number:,}")
    console.print(Columns([longest, imports, names]))
    totals = total["totals"]
    console.print(
        ", ".join(f"[bold]{totals[what]:,}[/] {what}" for what in totals), highlight=False
    )


def show_times(tasks: list[BatchTask], took_s: float) -> None:
    """From add to running to completed, as the service recorded it."""
    table = Table(title="Times of the tasks, in milliseconds")
    table.add_column("")
    for name in ("Shortest", "Median", "Longest"):
        table.add_column(name, justify="right")
    infos = [(task.creation_time, task.execution_info) for task in tasks]
    rows = {
        "add to running": [info.start_time - created for created, info in infos],
        "running to completed": [info.end_time - info.start_time for _, info in infos],
        "add to completed": [info.end_time - created for created, info in infos],
    }
    for name, times in rows.items():
        ms = sorted(length / timedelta(milliseconds=1) for length in times)
        table.add_row(name, *(f"{value:,.0f}" for value in (ms[0], ms[len(ms) // 2], ms[-1])))
    console.print(table)
    console.print(f"{len(tasks)} tasks on {NODES} nodes, [bold]{took_s:.1f} s[/] in all.")


def main(ready_file: Path, output: Path) -> None:
    """Do it all."""
    began = time.monotonic()
    ready = json.loads(ready_file.read_text("utf-8"))
    run = f"quickstart-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    credential = AzureNamedKeyCredential(ready["accountName"], ready["accountKey"])
    batch = BatchClient(ready["endpoint"], credential)
    storage = Storage(ready["storageConnectionString"], run)
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    files = sources()
    console.print(f"{len(files)} source files of Python {sys.version.split()[0]}")
    with Progress(*columns, console=console) as progress:
        upload(storage, files, progress)
        submit(batch, storage, run, CHUNKS)
        tasks = watch(batch, run, progress)
    check(batch, run, tasks)
    output.mkdir(parents=True, exist_ok=True)
    total = storage.outputs.download_blob("total.json").readall()
    (output / "total.json").write_bytes(total)
    log = b"".join(batch.download_task_file(run, "1", "stdout.txt"))
    (output / "task-1-stdout.txt").write_bytes(log)
    found = json.loads(total)
    if found["totals"].get("files", 0) + found["totals"].get("not Python", 0) != len(files):
        sys.exit(f"{len(files)} files went in, but the result is {found['totals']}")
    show_findings(found)
    show_times(tasks, time.monotonic() - began)
    deleting = [batch.begin_delete_job(run, polling_interval=1)]
    deleting.append(batch.begin_delete_pool(run, polling_interval=1))
    for poller in deleting:
        poller.result()
    next_steps = (
        f"Merged result: [cyan]{output}/total.json[/]\n"
        f"What task 1 printed: [cyan]{output}/task-1-stdout.txt[/]\n"
        f"In storage, while that exists: containers [cyan]{run}-in[/] and [cyan]{run}-out[/]\n\n"
        "Try next: [bold].venv/bin/penstock up --ready-file ready.json[/] and, beside it,\n"
        "[bold].venv/bin/python examples/quickstart.py ready.json[/]; then change NODES in it,\n"
        "or let one task fail. README.md tells more."
    )
    console.print(Panel(next_steps, title="Done", border_style="green"))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "build/quickstart"))
