"""Users of nodes, and how to reach a node to log in. From the wire; nothing of them is shown."""

from __future__ import annotations

from urllib.parse import quote

from penstock.domain.refusals import OperationNotValidOnNode
from penstock.domain.specs.node import NodeLogin
from penstock.wire.answers import Answer, created, done
from penstock.wire.nodes import node_of
from penstock.wire.pools import pool_of
from penstock.wire.request import Request
from penstock.wire.shown import node_path
from penstock.wire.specs.nodes import (
    check_login,
    node_user_from_wire,
    node_user_update_from_wire,
)


async def add_user(request: Request) -> Answer:
    """POST /pools/{pool}/nodes/{node}/users"""
    user, login = node_user_from_wire(await request.json_body())
    await _check_login(request, login)
    pool_id, node_id = request.ids
    await request.service.add_node_user(
        request.account, pool_id, node_id, user.name, login, admin=bool(user.is_admin)
    )
    return created(request, f"{node_path(pool_id, node_id)}/users/{quote(user.name, safe='')}")


async def replace_user(request: Request) -> Answer:
    """PUT /pools/{pool}/nodes/{node}/users/{user}"""
    login = node_user_update_from_wire(await request.json_body())
    await _check_login(request, login)
    pool_id, node_id, name = request.ids
    await request.service.replace_node_user(request.account, pool_id, node_id, name, login)
    return done(request, 200)


async def _check_login(request: Request, login: NodeLogin) -> None:
    machine = (await pool_of(request)).spec.virtual_machine_configuration
    check_login(login, machine.node_agent_sku_id if machine else "")


async def delete_user(request: Request) -> Answer:
    """DELETE /pools/{pool}/nodes/{node}/users/{user}"""
    await request.service.delete_node_user(request.account, *request.ids)
    return done(request, 200)


async def remote_login_settings(request: Request) -> Answer:
    """GET /pools/{pool}/nodes/{node}/remoteloginsettings"""
    await node_of(request)
    raise OperationNotValidOnNode(Reason="no node of this release can be logged in to")


async def remote_desktop(request: Request) -> Answer:
    """GET /pools/{pool}/nodes/{node}/rdp"""
    await node_of(request)
    raise OperationNotValidOnNode(Reason="the node runs on Linux, and has no remote desktop")
