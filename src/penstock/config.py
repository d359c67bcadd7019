"""The settings of one server, read once at start and passed down.

A setting is a field of `Config`. Its name is the key in the file, ``PENSTOCK_`` and the name in
capitals is its variable in the environment, and the command line calls it by its name with
hyphens. `docs/configuration.md` explains each.
"""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

ENVIRONMENT_PREFIX: Final = "PENSTOCK_"

BATCH_AUDIENCE: Final = "https://batch.core.windows.net/"
"""What the tokens are meant for that Azure's SDKs ask for."""

NODE_HOST_SETTINGS: Final = (
    "orphan_after_s",
    "kill_grace_s",
    "max_processes",
    "max_output_bytes",
    "min_free_bytes",
)
"""The settings that `penstock agent` obeys; the others are the server's."""

_URL: Final = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")
_IN_FILE_ONLY: Final = ("accounts", "token_issuers")

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""Those with a public key: whoever can check a signature cannot make one."""

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Quota = Annotated[int, Meta(ge=0, le=2**31 - 1)]  # 0: none
Seconds = Annotated[float, Meta(gt=0, le=86_400 * 365)]


class ConfigRefused(Exception):
    """The settings cannot be used; the message names every mistake, one per line."""


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Batch account that `penstock serve` offers. `keys` are base64; each of them signs.

    Without keys the server makes two and keeps them in its data directory.
    """

    name: Annotated[str, Meta(pattern="^[a-z0-9]{3,24}$")]
    keys: Annotated[tuple[str, ...], Meta(min_length=1, max_length=2)] = ()
    storage: str = ""  # connection string of the linked storage account; empty: none
    dedicated_core_quota: Quota | None = None  # None: that of the settings, as with the others
    low_priority_core_quota: Quota | None = None
    pool_quota: Quota | None = None
    active_job_quota: Quota | None = None


Texts = Annotated[tuple[str, ...], Meta(min_length=1)]
Claims = dict[str, Texts]


class TokenIssuer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody whose tokens (JWT) are taken over https, like a tenant of Microsoft Entra ID.

    `read` and `write` say who may do what: a token needs one of the values of one of the claims;
    ``*`` is any value. Who may write may read.
    """

    issuer: Annotated[str, Meta(min_length=1)]
    audience: Texts | str = (BATCH_AUDIENCE,)
    algorithms: Annotated[tuple[Algorithm, ...], Meta(min_length=1)] = ("RS256", "ES256")
    jwks_file: str = ""
    jwks_url: str = ""
    jwks_ca_file: str = ""  # who vouches for the host of jwks_url; empty: those the machine trusts
    accounts: tuple[str, ...] = ()  # empty: all
    read: Claims = {}
    write: Claims = {}

    @property
    def audiences(self) -> tuple[str, ...]:
        return (self.audience,) if isinstance(self.audience, str) else self.audience

    def mistakes(self) -> Iterable[str]:
        """What is wrong with it beyond the form of its parts."""
        where = f"token_issuers: {self.issuer}"
        if bool(self.jwks_file) == bool(self.jwks_url):
            yield f"{where}: give jwks_file or jwks_url, where its public keys are"
        if self.jwks_url and not _is_safe(self.jwks_url):
            yield f"{where}: jwks_url must be https, or http on this machine"
        if not self.read and not self.write:
            yield f"{where}: neither read nor write says which claims let whom do what"


def _is_safe(url: str) -> bool:
    """Whether nobody on the way can change what is fetched from there."""
    scheme, colon, _ = url.partition("://")
    return bool(colon) and (scheme == "https" or (scheme == "http" and is_near(url)))


def is_near(url: str) -> bool:
    """Whether what it names is on this machine."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings of a server. Durations are in seconds, sizes in bytes."""

    host: str = "127.0.0.1"
    port: Port = 10600
    tls_port: Port = 10643
    tls_names: tuple[str, ...] = ()
    data: str = ""  # empty: a directory per user
    account_url: str = ""  # that tasks are told; empty: the http address on the server's machine
    storage: str = ""  # empty: azurite for `up`, none for `serve`
    ready_file: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    accounts: tuple[Account, ...] = ()
    token_issuers: tuple[TokenIssuer, ...] = ()

    heartbeat_s: Seconds = 2.0  # between two signs of life of a node host
    node_silent_s: Seconds = 30.0  # without one for this long, its nodes count as lost
    max_connections: Count = 2000
    max_body_bytes: Count = 1 << 20
    max_bodies_bytes: Count = 64 << 20  # of all requests that are being read or decided
    events_kept: Annotated[int, Meta(ge=0, le=10_000_000)] = 200_000  # 0: no log of events
    events_file: str = ""  # JSON lines of all events; empty: none
    events_file_bytes: Annotated[int, Meta(ge=1 << 16)] = 64 << 20  # beyond it another is begun
    slow_commit_ms: Annotated[float, Meta(ge=0, le=60_000)] = 0.0  # added to each commit

    dedicated_core_quota: Quota = 0  # of an account, in cores; 0: none, as with the others
    low_priority_core_quota: Quota = 0
    pool_quota: Quota = 0
    active_job_quota: Quota = 0  # active jobs and job schedules
    low_priority_preemptions_per_hour: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0  # of a node
    low_priority_return_s: Seconds = 60.0  # how long a preempted node is away
    container_tasks: Literal["fail", "host"] = "fail"  # host: run as processes of the node

    orphan_after_s: Seconds = 3600.0  # without a server for this long a node host ends itself
    kill_grace_s: Seconds = 2.0  # between asking a task to end and killing it
    max_processes: Annotated[int, Meta(ge=0)] = 8192  # of a node host and its tasks; 0: no bound
    max_output_bytes: Count = 1 << 30  # of stdout.txt, and of stderr.txt
    min_free_bytes: Annotated[int, Meta(ge=0)] = 256 << 20  # of disk, else a task is ended

    @classmethod
    def read(
        cls,
        file: Mapping[str, object],
        env: Mapping[str, str],
        options: Mapping[str, object] | None = None,
    ) -> Self:
        """Put the settings together: options win over the environment, that over the file.

        `env` may be the whole environment; only ``PENSTOCK_*`` is looked at. Options that are
        None were not given. Raises ConfigRefused with every mistake in one message.
        """
        mistakes: list[str] = []
        given: dict[str, tuple[str, object]] = {
            name: (f"{name} in the file", value) for name, value in file.items()
        }
        for variable, text in _variables(env).items():
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            if name in _IN_FILE_ONLY:
                mistakes.append(f"{variable}: {name} are set in the file")
                continue
            given[name] = (variable, _split(text) if name == "tls_names" else text)
        for name, value in (options or {}).items():
            if value is not None:
                given[name] = (f"--{name.replace('_', '-')}", value)
        values = dict(_checked(_kinds(cls), given, mistakes))
        config = cls(**values)
        if config.node_silent_s < 2 * config.heartbeat_s:
            mistakes.append(
                "node_silent_s: at least twice heartbeat_s, or nodes are lost by chance"
            )
        if config.account_url and not _URL.fullmatch(config.account_url):
            mistakes.append("account_url: an address like https://batch.example:10643")
        for issuer in config.token_issuers:
            mistakes.extend(issuer.mistakes())
        if config.max_bodies_bytes < config.max_body_bytes:
            mistakes.append("max_bodies_bytes: at least max_body_bytes, or no body fits")
        if mistakes:
            raise ConfigRefused("\n".join(mistakes))
        return config

    def for_node_host(self) -> dict[str, str]:
        """What a node host reads of these settings, as variables of its environment."""
        return {
            f"{ENVIRONMENT_PREFIX}{name.upper()}": str(getattr(self, name))
            for name in NODE_HOST_SETTINGS
        }


def read_file(path: Path) -> dict[str, object]:
    """Read a TOML file of settings. Raises ConfigRefused where that cannot be."""
    import tomllib

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigRefused(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigRefused(f"{path} is not TOML: {error}") from None


def _variables(env: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in env.items() if name.startswith(ENVIRONMENT_PREFIX)}


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _kinds(cls: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in fields(cls)}


def _checked(
    kinds: Mapping[str, Any], given: Mapping[str, tuple[str, object]], mistakes: list[str]
) -> Iterable[tuple[str, Any]]:
    for name, (where, value) in given.items():
        if name not in kinds:
            mistakes.append(f"{where}: no such setting{_nearest(name, kinds)}")
            continue
        try:
            yield name, msgspec.convert(value, kinds[name], strict=not isinstance(value, str))
        except msgspec.ValidationError as error:
            mistakes.append(f"{where}: {error}{_choices(kinds[name])}")


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _choices(kind: Any) -> str:
    if typing.get_origin(kind) is not Literal:
        return ""
    return f" (one of {', '.join(typing.get_args(kind))})"
