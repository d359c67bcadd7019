"""Users of nodes, as clients make them for logging in. Each function is one decision within a turn.

They are part of the machine: a node that is wiped, or has no machine any more, has none.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from penstock.domain import changes as c
from penstock.domain.instants import MINUTE_US
from penstock.domain.records import NodeRecord, NodeUserRecord, key_of
from penstock.domain.refusals import NodeUserExists, NodeUserNotFound
from penstock.domain.specs.node import NodeLogin
from penstock.domain.states import NodeState
from penstock.engine.node_work import refusal_in
from penstock.engine.nodes import found_node
from penstock.engine.turn import Turn

LIFE_US: Final = 24 * 60 * MINUTE_US
"""How long a user may log in who was made without an expiry time."""

OPEN: Final = (
    NodeState.IDLE,
    NodeState.RUNNING,
    NodeState.OFFLINE,
    NodeState.START_TASK_FAILED,
)
"""States of nodes to which somebody can log in; the last two are those to look into."""


def secret_name(account: str, node_id: str, name: str) -> str:
    """The name under which the password of a user is sealed."""
    return f"node user {account} {key_of(node_id)} {key_of(name)}"


def add_user(
    turn: Turn,
    account: str,
    pool_id: str,
    node_id: str,
    name: str,
    login: NodeLogin,
    password: bytes | None,
    *,
    admin: bool,
) -> NodeUserRecord:
    """Add a user; `password` is that of the login, sealed."""
    node = _open_node(turn, account, pool_id, node_id)
    if turn.state.node_users.find(node.no, name) is not None:
        raise NodeUserExists
    user = NodeUserRecord(
        no=turn.new_no(),
        node_no=node.no,
        name=name,
        admin=admin,
        expiry_us=_expiry_us(turn, login),
        password=password,
        ssh_public_key=login.ssh_public_key,
    )
    turn.put(c.PutNodeUser(user))
    return user


def replace_user(
    turn: Turn,
    account: str,
    pool_id: str,
    node_id: str,
    name: str,
    login: NodeLogin,
    password: bytes | None,
) -> NodeUserRecord:
    """Replace password, key and expiry time; what is not given is gone."""
    user = replace(
        _found(turn, account, pool_id, node_id, name),
        password=password,
        ssh_public_key=login.ssh_public_key,
        expiry_us=_expiry_us(turn, login),
    )
    turn.put(c.PutNodeUser(user))
    return user


def delete_user(turn: Turn, account: str, pool_id: str, node_id: str, name: str) -> None:
    """Delete a user."""
    turn.put(c.DropNodeUser(_found(turn, account, pool_id, node_id, name).no))


def _open_node(turn: Turn, account: str, pool_id: str, node_id: str) -> NodeRecord:
    node = found_node(turn, account, pool_id, node_id)
    if node.state not in OPEN:
        raise refusal_in(node)
    return node


def _found(turn: Turn, account: str, pool_id: str, node_id: str, name: str) -> NodeUserRecord:
    node = _open_node(turn, account, pool_id, node_id)
    user = turn.state.node_users.find(node.no, name)
    if user is None:
        raise NodeUserNotFound
    return user


def _expiry_us(turn: Turn, login: NodeLogin) -> int:
    return turn.now_us + LIFE_US if login.expiry_us is None else login.expiry_us
