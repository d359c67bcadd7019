"""What the engine is told once at its start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from penstock.domain.instants import SECOND_US
from penstock.domain.specs.common import ResourceFile
from penstock.engine.vault import Vault


class Quotas(msgspec.Struct, frozen=True, kw_only=True):
    """How much an account may have at once; 0 is without a bound."""

    dedicated_cores: int = 0
    low_priority_cores: int = 0
    pools: int = 0
    active_jobs: int = 0  # with job schedules


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds and facts that decisions use."""

    server_id: str
    node_silent_us: int = 90 * SECOND_US  # a host without a sign of life for this long is lost
    heartbeat_s: float = 2.0
    stop_wait_s: float = 5.0  # how long delete and terminate of a running task wait for its end
    most_waiting: int = 10_000  # commands in the queue; beyond it requests are ServerBusy
    weight_in_turn: int = 1_000  # tasks to add and reports to believe in one turn
    placements_in_turn: int = 1_000
    released_in_turn: int = 5_000  # edges between tasks over which dependents move on
    swept_in_turn: int = 1_000  # tasks of dropped jobs that are removed
    events_kept: int = 200_000  # the newest events that the log keeps; 0: none are made
    most_file_asks: int = 256  # questions about files that wait for an answer
    file_wait_s: float = 30.0
    link_wait_s: float = 5.0  # how long a question waits for a host that may come back
    quotas: Quotas = Quotas()
    account_quotas: Mapping[str, Quotas] = {}  # of the accounts that have their own
    preemptions_per_hour: float = 0.0  # of one low-priority node, on average
    return_us: int = 60 * SECOND_US  # how long a preempted node is away
    containers_as_processes: bool = False  # else a task with container settings fails
    vault: Vault | None = None  # what secrets are kept in; nobody brings one where there is none
    storage_accounts: frozenset[str] = frozenset()  # Batch accounts with linked storage
    token_secret: bytes = b""  # what tokens of tasks are signed with; empty: there are none
    account_url: Callable[[str], str] = "http://{}.localhost".format
    container_url: Callable[[str, str], str | None] = lambda _account, _container: None
    """Account and container of its linked storage: a URL with a SAS to read and list it. None
    when no storage is linked to the account."""

    def quotas_of(self, account: str) -> Quotas:
        """The quotas of an account."""
        return self.account_quotas.get(account, self.quotas)

    def has_storage(self, account: str) -> bool:
        """Whether a storage account is linked to this Batch account."""
        return account in self.storage_accounts

    def container_urls(self, account: str, files: Sequence[ResourceFile]) -> dict[str, str]:
        """The URLs that a node needs for the containers of the linked storage in `files`."""
        if not files:
            return {}
        names = {file.auto_storage_container_name for file in files}
        urls = {name: self.container_url(account, name) for name in names if name}
        return {name: url for name, url in urls.items() if url is not None}
