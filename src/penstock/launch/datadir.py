"""The directory that holds all the state of one server.

Only one server uses it at a time: it holds a lock of the kernel, which ends with its process
however that ends. What a later server has to find again, such as ports, keys and children left
running, is kept here in files of one purpose each.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec

from penstock.engine.vault import KEY_BYTES, Vault
from penstock.launch.exits import CannotStart, Exit
from penstock.launch.files import secret, write_atomically
from penstock.launch.tls import FILES as TLS_FILES


class DataDirInUse(Exception):
    """Another server lives in the directory."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the lock, for the message to those who come second."""

    pid: int
    endpoint: str = ""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where node hosts on this machine find the server."""

    url: str
    pid: int


class Layout:
    """Where things lie below the data directory."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()

    @property
    def store(self) -> Path:
        """Directory of the database."""
        return self.root / "store"

    @property
    def database(self) -> Path:
        return self.store / "penstock.db"

    @property
    def tls(self) -> Path:
        """Directory of the private CA and the server's certificate."""
        return self.root / "tls"

    @property
    def logs(self) -> Path:
        """Directory of what the children print."""
        return self.root / "logs"

    @property
    def azurite(self) -> Path:
        """Directory of the local storage account."""
        return self.root / "azurite"

    def child(self, name: str) -> Path:
        """File that names a running child, by process number and start."""
        return self.root / f"{name}.process"

    @property
    def agent_token(self) -> Path:
        """File with the token that node hosts show; only its owner may read it."""
        return self.root / "agent.token"

    @property
    def task_token(self) -> Path:
        """File with the secret that the tokens of tasks are signed with."""
        return self.root / "task-token.secret"

    @property
    def endpoint(self) -> Path:
        """File with the present address of the server, for node hosts on this machine."""
        return self.root / "endpoint"

    @property
    def generated_account(self) -> Path:
        """File with the account that `penstock serve` made for itself."""
        return self.root / "account"

    @property
    def account_keys(self) -> Path:
        """File with the keys of accounts that the settings name without keys."""
        return self.root / "account-keys"

    @property
    def identity(self) -> Path:
        """File with the id that this directory's servers share."""
        return self.root / "server.id"

    @property
    def vault_key(self) -> Path:
        """File with the key of what is sealed in the database; only its owner may read it."""
        return self.root / "vault.key"

    @property
    def azurite_port(self) -> Path:
        """File with the port of the local storage account."""
        return self.root / "azurite.port"

    @property
    def node_host(self) -> Path:
        """Directory of the local node host and its nodes."""
        return self.root / "node-host"

    @property
    def host_id(self) -> Path:
        """File with the id of the local node host, which that one makes."""
        return self.node_host / "host-id"

    @property
    def kept(self) -> tuple[Path, ...]:
        """Files without which a database in another place would be another server's."""
        tls = (self.tls / name for name in TLS_FILES)
        own = (
            self.identity,
            self.agent_token,
            self.task_token,
            self.vault_key,
            self.generated_account,
            self.account_keys,
            self.azurite_port,
        )
        return (*own, *tls)


class DataDir(Layout):
    """A data directory to live in. Making one creates what is missing."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        for private in (self.store, self.tls, self.logs, self.azurite):
            private.mkdir(mode=0o700, exist_ok=True)
        self._lock: int | None = None

    def claim(self) -> Self:
        """Take the directory for this process. Raises DataDirInUse when another one has it."""
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read_holder(os.pread(descriptor, 4096, 0))
            os.close(descriptor)
            raise DataDirInUse(f"{self.root} is in use by {holder}") from None
        self._lock = descriptor
        self._say_holder(Holder(pid=os.getpid()))
        return self

    def announce(self, url: str) -> None:
        """Tell node hosts on this machine, and whoever comes second, where the server is."""
        self._say_holder(Holder(pid=os.getpid(), endpoint=url))
        endpoint = Endpoint(url=url, pid=os.getpid())
        write_atomically(self.endpoint, msgspec.json.encode(endpoint))

    def release(self) -> None:
        """Leave the directory to others."""
        self.endpoint.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def server_id(self) -> str:
        """An id that this directory's servers share, made at first use."""
        return secret(self.identity, secrets.token_hex(16).encode()).decode()

    def token(self) -> str:
        """The token of the node hosts, made at first use."""
        return secret(self.agent_token, secrets.token_urlsafe(32).encode()).decode()

    def task_token_secret(self) -> bytes:
        """What the tokens of tasks are signed with, made at first use."""
        return secret(self.task_token, secrets.token_urlsafe(32).encode())

    def vault(self) -> Vault:
        """What secrets are kept in, with a key made at first use. Raises CannotStart."""
        try:
            return Vault(secret(self.vault_key, secrets.token_bytes(KEY_BYTES)))
        except ValueError as error:
            raise CannotStart(Exit.USAGE, f"{self.vault_key}: {error}") from None

    def _say_holder(self, holder: Holder) -> None:
        assert self._lock is not None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, msgspec.json.encode(holder), 0)


def read_endpoint(root: Path) -> Endpoint | None:
    """Where the server of a data directory is at present; None while there is none."""
    try:
        return msgspec.json.decode((root / "endpoint").read_bytes(), type=Endpoint)
    except (OSError, msgspec.DecodeError):
        return None


def default_root(env: Mapping[str, str], home: Path) -> Path:
    """The data directory of a user who named none."""
    base = env.get("XDG_DATA_HOME") or ""
    return (Path(base) if base.startswith("/") else home / ".local" / "share") / "penstock"


def _read_holder(content: bytes) -> str:
    try:
        holder = msgspec.json.decode(content, type=Holder)
    except msgspec.DecodeError:
        return "another server"
    return f"process {holder.pid}" + (f", at {holder.endpoint}" if holder.endpoint else "")
