"""What the assembly of a server is given: everything decided before the event loop runs."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.config import Account, Config
from penstock.launch.accounts import Users
from penstock.launch.datadir import DataDir
from penstock.launch.listeners import Listeners
from penstock.launch.tls import TlsFiles
from penstock.wire.settings import Issuer


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One server, ready to be put together."""

    config: Config
    data: DataDir
    listeners: Listeners
    tls: TlsFiles
    users: Users  # at least one; `storage` of each is a connection string or empty
    agent_token: str
    emulator: bool  # `penstock up`, for one user on one machine
    issuers: tuple[Issuer, ...] = ()

    @property
    def accounts(self) -> tuple[Account, ...]:
        return self.users.accounts
