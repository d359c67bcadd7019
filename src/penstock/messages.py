"""What server and node host say to each other over the link.

Each WebSocket message is one msgpack array of values of one side. The server sends
*instructions*; the node host answers with *reports*, numbered so that the server can confirm
them once they are durable. Both sides may repeat themselves after a cut, so each receiver
recognises what it already knows: an attempt is named by the task's number and the attempt's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from penstock.domain.metering import Sample
from penstock.domain.records import Failure
from penstock.domain.specs.common import OutputFile, ResourceFile
from penstock.domain.usage import Usage

LINK_PATH = "/_agent/link"
FILES_PATH = "/_agent/files/"
PROTOCOL = 1


class _Message(
    msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag=True, omit_defaults=True
):
    """Arrays on the wire: short, and new fields may be added at the end with a default."""


# --- server to node host ---------------------------------------------------------------------


class StartTaskOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The start task of a node."""

    command_line: str
    environment: dict[str, str] = {}
    resource_files: tuple[ResourceFile, ...] = ()
    max_retries: int = 0  # -1: no limit
    wait_for_success: bool = True
    container_urls: dict[str, str] = {}  # autoStorage container name: URL with SAS
    refused: Failure | None = None  # it is not to be run, but fails like this


class MakeNode(_Message, frozen=True, kw_only=True):
    """Be host of this node: make its directories, run its start task, say when it is ready.

    `boot` counts its reboots. Of a higher number than the host knows, all that runs on the node
    is killed, the start task runs again, and all that the node reports from then on carries the
    number. `wiped` is the boot before which nothing of the node's files may stay: a host that
    knows an older one removes them first.
    """

    node_no: int
    node_id: str
    pool_id: str
    account: str
    account_url: str
    dedicated: bool
    slots: int
    cores: int
    start_task: StartTaskOrder | None = None
    boot: int = 0
    wiped: int = 0


class DropNode(_Message, frozen=True, kw_only=True):
    """Kill all that runs on the node, remove its directories, report `NodeGone`.

    A host that knows a later boot of the node than `boot` has heard this too late, and ignores it.
    """

    node_no: int
    boot: int = 0


class Gang(msgspec.Struct, frozen=True, kw_only=True):
    """The part of one node in a multi-instance task."""

    index: int  # 0 is the primary
    addresses: tuple[str, ...]  # of all nodes, by index
    cores: tuple[int, ...]  # likewise
    files: tuple[ResourceFile, ...] = ()  # for the directory that the task has on each node
    container_urls: dict[str, str] = {}  # for those files


class RunTask(_Message, frozen=True, kw_only=True):
    """Run a task. Asked twice for one attempt, answer again but start once.

    A newer attempt of a task replaces an older one on the same node. `environment` holds what
    the user set, the job's settings under the task's; the node host adds ``AZ_BATCH_*``.

    One that is sent `ahead` begins as soon as `slots` of the node are free, after those sent
    ahead before it; `TaskBegan` says when. Any other begins at once. One that is `refused` gets
    its directory, and fails like this before its command.
    """

    node_no: int
    task_no: int
    attempt: int
    job_id: str
    task_id: str
    command_line: str
    environment: dict[str, str] = {}
    resource_files: tuple[ResourceFile, ...] = ()
    output_files: tuple[OutputFile, ...] = ()
    wall_clock_us: int | None = None  # None: no limit
    container_urls: dict[str, str] = {}  # autoStorage container name: URL with SAS
    slots: int = 1
    ahead: bool = False
    preparation_id: str | None = None  # of the job's preparation task, for all but itself
    gang: Gang | None = None
    lingers: bool = False
    joins: bool = False
    refused: Failure | None = None


class ReturnTask(_Message, frozen=True, kw_only=True):
    """Give back an attempt that was sent ahead and has not begun: `TaskEnded` with `returned`.

    One that has begun goes on, and this is not answered.
    """

    node_no: int
    task_no: int
    attempt: int


class KillTask(_Message, frozen=True, kw_only=True):
    """End this attempt: the whole process group, politely first. Answer with `TaskEnded`.

    An attempt that never began ends too; one that ended already is answered again.
    """

    node_no: int
    task_no: int
    attempt: int


class RemoveTask(_Message, frozen=True, kw_only=True):
    """Remove the directory of a task, killing what runs in it; answer with `ChoreDone`."""

    chore: int
    node_no: int
    task_no: int
    job_id: str
    task_id: str


class RemoveJob(_Message, frozen=True, kw_only=True):
    """Remove the directories of a job, killing what runs in them; answer with `ChoreDone`."""

    chore: int
    node_no: int
    job_id: str


class FilesPage(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list is wanted: the first `limit` names that follow `after`.

    Each begins with one of `prefixes`, which are in lower case, in any case.
    """

    after: str = ""
    limit: int
    prefixes: tuple[str, ...] = ("",)


class AskFile(_Message, frozen=True, kw_only=True):
    """Look at the files of a node; the answer is a POST to ``FILES_PATH + request``.

    `root` is ``workitems/{job}/job-1/{task}`` or empty for the node's root; `path` is relative
    to it, with ``/``, and must not lead out of it. `what`: ``read``, ``stat``, ``list``,
    ``delete``. `start` and `end` bound the bytes to read, both included; None is open. `page`
    bounds a list; an older host does not know it, and lists as much as it may.
    """

    request: str
    node_no: int
    root: str
    what: str
    path: str = ""
    recursive: bool = False
    start: int | None = None
    end: int | None = None
    modified_since_us: int | None = None
    unmodified_since_us: int | None = None
    page: FilesPage | None = None


class Confirm(_Message, frozen=True, kw_only=True):
    """Every report up to this number is durable and need not be kept."""

    report: int


class Welcome(_Message, frozen=True, kw_only=True):
    """The first message of a server. Attempts not in `attempts` are stale: kill them silently.

    `nodes` are those that the server believes to be on this host; others are dropped. The
    server sends `MakeNode` again for nodes that the host has to make, and `RunTask` for
    attempts that it has not heard of.
    """

    server: str  # id of the data directory, the same after a restart
    nodes: tuple[int, ...]
    attempts: tuple[tuple[int, int], ...]
    heartbeat_s: float = 2.0
    confirmed: int = 0  # reports up to this number need not be sent again


class Stop(_Message, frozen=True, kw_only=True):
    """The server shuts down and wants its local host to do so too: kill all and exit."""


Instruction = (
    MakeNode
    | DropNode
    | RunTask
    | KillTask
    | ReturnTask
    | RemoveTask
    | RemoveJob
    | AskFile
    | Confirm
    | Welcome
    | Stop
)

# --- node host to server ---------------------------------------------------------------------


class Hello(_Message, frozen=True, kw_only=True):
    """The first message of a node host."""

    protocol: int
    host: str  # a random id, kept on the host's disk
    version: str
    pid: int
    started_us: int  # when the host process started: a new value means a restart
    cores: int
    nodes: tuple[int, ...]  # that it has on disk
    attempts: tuple[tuple[int, int], ...]  # (task, attempt) that it knows and has not had confirmed


class NodeHosted(_Message, frozen=True, kw_only=True):
    """The node's directories are there."""

    report: int
    node_no: int
    address: str
    boot: int = 0


class StartTaskBegan(_Message, frozen=True, kw_only=True):
    report: int
    node_no: int
    start_us: int
    retry_count: int = 0
    last_retry_us: int | None = None
    boot: int = 0


class StartTaskEnded(_Message, frozen=True, kw_only=True):
    """The start task ended for good: `failure` is None when it succeeded."""

    report: int
    node_no: int
    start_us: int
    end_us: int
    exit_code: int | None = None
    failure: Failure | None = None
    retry_count: int = 0
    last_retry_us: int | None = None
    boot: int = 0


class NodeReady(_Message, frozen=True, kw_only=True):
    """The node may be given tasks."""

    report: int
    node_no: int
    boot: int = 0


class NodeBroken(_Message, frozen=True, kw_only=True):
    """The node can not work."""

    report: int
    node_no: int
    error: Failure
    boot: int = 0


class NodeGone(_Message, frozen=True, kw_only=True):
    """Nothing of the node is left. The boot is that of the `DropNode` which asked for it."""

    report: int
    node_no: int
    boot: int = 0


class TaskBegan(_Message, frozen=True, kw_only=True):
    """An attempt that was sent ahead has its slots and begins."""

    report: int
    task_no: int
    attempt: int
    start_us: int


class TaskCoordinated(_Message, frozen=True, kw_only=True):
    """The command of an attempt that lingers has exited with 0."""

    report: int
    task_no: int
    attempt: int
    at_us: int


class TaskEnded(_Message, frozen=True, kw_only=True):
    """An attempt is over, and nothing of it runs any more.

    `exit_code` is None when no process ran to an end. `failure` is None exactly when the exit
    code is 0 and all uploads went well. `killed` says that `KillTask` ended it. `lost` says that
    the host can not tell how it ended, because the host itself was away: it must run again.
    `returned` says that it was sent ahead, and given back before it began. `usage` is None when
    no process ran, or of a host that does not measure.
    """

    report: int
    task_no: int
    attempt: int
    start_us: int
    end_us: int
    exit_code: int | None = None
    failure: Failure | None = None
    killed: bool = False
    lost: bool = False
    returned: bool = False
    usage: Usage | None = None


class ChoreDone(_Message, frozen=True, kw_only=True):
    report: int
    chore: int


class Heartbeat(_Message, frozen=True, kw_only=True):
    """Sent every `Welcome.heartbeat_s`. Attempts that the host knows and that are not over.

    Now and then it has a look at the machine with it.
    """

    attempts: tuple[tuple[int, int], ...] = ()
    sample: Sample | None = None


NumberedReport = (
    NodeHosted
    | StartTaskBegan
    | StartTaskEnded
    | NodeReady
    | NodeBroken
    | NodeGone
    | TaskBegan
    | TaskCoordinated
    | TaskEnded
    | ChoreDone
)
Report = Hello | Heartbeat | NumberedReport

_ENCODER = msgspec.msgpack.Encoder()
_INSTRUCTIONS = msgspec.msgpack.Decoder(list[Instruction])
_REPORTS = msgspec.msgpack.Decoder(list[Report])


def encode(messages: Sequence[Instruction] | Sequence[Report]) -> bytes:
    """Write one batch."""
    return _ENCODER.encode(messages)


def instructions(batch: bytes) -> Iterable[Instruction]:
    """Read a batch from the server. Raises msgspec.ValidationError or DecodeError."""
    return _INSTRUCTIONS.decode(batch)


def reports(batch: bytes) -> Iterable[Report]:
    """Read a batch from a node host. Raises msgspec.ValidationError or DecodeError."""
    return _REPORTS.decode(batch)


# --- answers about files ---------------------------------------------------------------------

FILE_STATUS_HEADER = "penstock-file"
"""On the answering POST: ``ok``, or ``notfound``, ``range``, ``unavailable``, ``notmodified``,
``condition``, ``directory`` (not empty, or read as a file), ``busy`` (too much to list)."""

FILE_INFO_HEADER = "penstock-file-info"
"""On ``ok`` for ``read`` and ``stat``: a JSON `FileInfo`. The body is then the bytes, for
``list`` it is a JSON array of `FileInfo`."""


class FileInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One file or directory of a node."""

    name: str  # relative to the root that was asked about
    directory: bool
    size: int = 0  # of the whole file
    modified_us: int = 0
    mode: int = 0  # st_mode
    start: int = 0  # first byte of a read
    length: int = 0  # bytes that a read sends
