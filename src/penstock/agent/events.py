"""The words between the core and the parts that act for it.

Events tell the core what happened; actions are what it wants done. A *run* is one attempt of a
task, or one try of a node's start task.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from penstock.domain.records import Failure
from penstock.domain.usage import Usage
from penstock.messages import Instruction, MakeNode, NumberedReport, RunTask, StartTaskOrder


class RunKey(NamedTuple):
    """Names a run: a task's number and attempt, or minus a node's number and the try."""

    number: int
    attempt: int


class Run(msgspec.Struct, frozen=True, gc=False):
    """One thing to run on one node."""

    key: RunKey
    node: MakeNode
    order: RunTask | StartTaskOrder


# --- events ----------------------------------------------------------------------------------


class _Value(msgspec.Struct, frozen=True, gc=False):
    pass


class NodeMade(_Value, frozen=True):
    """The node's directories are there for this boot."""

    node_no: int
    address: str
    boot: int = 0


class NodeFailed(_Value, frozen=True):
    """The node's directories could not be made for this boot."""

    node_no: int
    failure: Failure
    boot: int = 0


class NodeCleared(_Value, frozen=True):
    """Nothing of the node runs or lies on the disk."""

    node_no: int


class Prepared(_Value, frozen=True):
    """Directories and resource files of the run are there."""

    key: RunKey


class PrepareFailed(_Value, frozen=True):
    """They are not, and nothing is still at work on them."""

    key: RunKey
    failure: Failure


class SpawnFailed(_Value, frozen=True):
    key: RunKey
    failure: Failure


class SpawnBusy(_Value, frozen=True):
    """The machine has no room for a process now; ask again later."""

    key: RunKey


class Exited(_Value, frozen=True):
    """The process ended with this code (128 and the signal's number, if by one).

    Of a task nothing runs any more; of a start task, background processes may. One that
    lingers is told of only when nothing of it runs, or when its code is not 0.
    """

    key: RunKey
    exit_code: int
    usage: Usage | None = None


class Coordinated(_Value, frozen=True):
    """The process of a run that lingers exited with 0; what it left runs on."""

    key: RunKey


class TooLate(_Value, frozen=True):
    """The process that was to be ended had ended by itself; `Exited` follows."""

    key: RunKey


class Overrun(_Value, frozen=True):
    """The run takes more disk than it may."""

    key: RunKey
    failure: Failure


class Uploaded(_Value, frozen=True):
    """Uploads are over, or were stopped."""

    key: RunKey
    failure: Failure | None


class TreeRemoved(_Value, frozen=True):
    chore: int


class Tick(_Value, frozen=True):
    """A wake-up that the core had asked for with `due_us`."""


Event = (
    Instruction
    | NodeMade
    | NodeFailed
    | NodeCleared
    | Prepared
    | PrepareFailed
    | SpawnFailed
    | SpawnBusy
    | Exited
    | Coordinated
    | TooLate
    | Overrun
    | Uploaded
    | TreeRemoved
    | Tick
)

# --- actions ---------------------------------------------------------------------------------


class MakeDirectories(_Value, frozen=True):
    """Answer with `NodeMade` or `NodeFailed`."""

    node: MakeNode


class Reboot(_Value, frozen=True):
    """Kill what is left on the node, remove all its files if `wipe`, and make its directories.

    Answer with `NodeMade` or `NodeFailed`. The order is noted when this is through, and not
    before, so that one that is cut short is done again from its beginning.
    """

    node: MakeNode
    wipe: bool


class ClearNode(_Value, frozen=True):
    """Kill what is left of the node, remove its root, forget it; then `NodeCleared`."""

    node: MakeNode


class Prepare(_Value, frozen=True):
    """Make the run's directories and fetch its files; `Prepared` or `PrepareFailed`."""

    run: Run


class Spawn(_Value, frozen=True):
    """Start the run's process, making its directories first when `fresh`.

    A run that joins uses the directory of the one that lingers there, and its output is
    appended to that one's files.

    Answered by `SpawnFailed` or `SpawnBusy`, or in time by `Exited`; of a run that lingers
    `Coordinated` comes before.
    """

    run: Run
    fresh: bool
    start_us: int


class Terminate(_Value, frozen=True):
    """Ask the run's processes to end."""

    key: RunKey


class Kill(_Value, frozen=True):
    """End the run's processes now."""

    key: RunKey


class StopTransfer(_Value, frozen=True):
    """Stop fetching or uploading; the answer that was due comes all the same."""

    key: RunKey


class Upload(_Value, frozen=True):
    """Upload the outputs of a run that ended; `Uploaded`."""

    run: Run
    failed: bool


class RemoveTree(_Value, frozen=True):
    """Remove a directory below the node's root; `TreeRemoved`."""

    chore: int
    node: MakeNode
    path: str


class Send(_Value, frozen=True):
    """Remember this report and send it when there is a server."""

    report: NumberedReport


class SendAgain(_Value, frozen=True):
    """Send a report that is remembered already."""

    report: NumberedReport


class Forget(_Value, frozen=True):
    """The run is over and nobody wants to know."""

    key: RunKey


class Forgive(_Value, frozen=True):
    """Reports up to this number need not be remembered."""

    report: int


class NewServer(_Value, frozen=True):
    """This host now belongs to that server. When `other`, it belonged to another before: all
    numbers mean something else, so say hello anew."""

    server: str
    other: bool


Action = (
    MakeDirectories
    | Reboot
    | ClearNode
    | Prepare
    | Spawn
    | Terminate
    | Kill
    | StopTransfer
    | Upload
    | RemoveTree
    | Send
    | SendAgain
    | Forget
    | Forgive
    | NewServer
)
