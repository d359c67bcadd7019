"""What a node host is told when it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where the server is: ``http://host:port``, and the CA file that vouches for ``https``."""

    url: str
    ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Settings of one node host, read once at start and passed down."""

    data_dir: Path  # journal, lock; and the nodes, unless `nodes_dir` says otherwise
    # Asked before each dial; None: not there yet. It must not count on the working directory.
    locate: Callable[[], ServerAddress | None]
    token: str  # bearer token of the link and of the answers about files
    nodes_dir: Path | None = None
    orphan_after_s: float | None = None  # no server for this long: end all and exit
    kill_grace_s: float = 2.0  # between SIGTERM and SIGKILL
    max_processes: int = 8192  # of this host and all of its tasks together; 0: no bound
    max_output_bytes: int = 1 << 30  # of stdout.txt or of stderr.txt
    min_free_bytes: int = 256 << 20  # below this the task with most output is ended
    watch_s: float = 1.0  # between two looks at outputs and disk
    sample_s: float = 30.0  # between two looks at the machine
    max_transfers: int = 32  # files moved at once
    transfer_tries: int = 3
    connect_timeout_s: float = 10.0
    idle_timeout_s: float = 60.0  # a transfer that gets no byte for so long has failed
    stop_grace_s: float = 1.0  # the like of `kill_grace_s` when the whole host stops

    @property
    def nodes_root(self) -> Path:
        """The directory that holds ``{pool}/{node}``."""
        return (self.nodes_dir or self.data_dir / "nodes").absolute()
