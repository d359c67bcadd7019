"""Why a task cannot be run in the way that its user described; it fails before its command.

Such a task is accepted, stored and shown as it is, for it is right as far as anybody can tell
who does not know the node.
"""

from __future__ import annotations

from typing import Final

from penstock.domain.records import Detail, Failure, NodeRecord
from penstock.domain.specs.common import ContainerSettings, UserIdentity
from penstock.domain.specs.pool import PoolTemplate
from penstock.engine.settings import EngineSettings
from penstock.engine.turn import Turn

CONTAINER_MESSAGE: Final = "At least one value of specified task container settings is invalid"
LAUNCH_MESSAGE: Final = "The specified command could not be started"


def hindrance(
    settings: EngineSettings,
    pool: PoolTemplate,
    command_line: str,
    container: ContainerSettings | None,
    identity: UserIdentity | None,
) -> Failure | None:
    """Say why a command cannot be run on a node of the pool; None when it can."""
    if container is not None:
        if not settings.containers_as_processes:
            return _container(
                f"Containers such as {container.image_name} are not run by this service. "
                'With the setting container_tasks = "host" it runs their commands as processes '
                "of the node."
            )
        if not command_line.strip():
            return _container(
                "The task has no command line, and what the image would run is not known: "
                "containers are run as processes of the node."
            )
    return _user(pool, identity.username if identity else None)


def hindrance_on(
    turn: Turn,
    node: NodeRecord | None,
    command_line: str,
    container: ContainerSettings | None,
    identity: UserIdentity | None,
) -> Failure | None:
    """Likewise for a node; one that is gone hinders nothing any more."""
    if container is None and (identity is None or identity.username is None):
        return None
    pool = None if node is None else turn.state.pools.get(node.pool_no)
    if pool is None:
        return None
    return hindrance(turn.settings, pool.spec, command_line, container, identity)


def _container(text: str) -> Failure:
    details = (Detail("Message", text),)
    return Failure("usererror", "ContainerInvalidSettings", CONTAINER_MESSAGE, details)


def _user(pool: PoolTemplate, username: str | None) -> Failure | None:
    if username is None or username in _names(pool):
        return None
    details = (Detail("Message", f"The pool has no user account with the name {username}"),)
    return Failure("usererror", "CommandLaunchFailed", LAUNCH_MESSAGE, details)


def _names(pool: PoolTemplate) -> set[str]:
    return {account.name for account in pool.user_accounts or ()}
