"""Users of nodes: made, changed and deleted while their node lives, and gone with its machine."""

from __future__ import annotations

import pytest

from penstock.domain.conditions import ANY
from penstock.domain.records import NodeRecord, NodeUserRecord, NodeWork, Removal
from penstock.domain.refusals import (
    NodeBeingCreated,
    NodeBeingRebooted,
    NodeNotFound,
    NodeStateUnusable,
    NodeUserExists,
    NodeUserNotFound,
    OperationInvalidForCurrentState,
    PoolNotFound,
    Refusal,
)
from penstock.domain.specs.node import NodeLogin
from penstock.domain.specs.pool import PoolSpec, Resize
from penstock.domain.states import NodeState
from penstock.engine.node_users import LIFE_US, secret_name
from tests.records import ACCOUNT
from tests.unit.engine.house import House, play

LOGIN = NodeLogin(password="a password", ssh_public_key="AAAA")


async def the_node(house: House) -> NodeRecord:
    (node,) = await house.nodes()
    return node


async def add(house: House, name: str = "Me", login: NodeLogin = LOGIN) -> NodeUserRecord:
    node = await the_node(house)
    return await house.engine.add_node_user(ACCOUNT, "pool", node.id, name, login, admin=True)


async def users(house: House) -> list[NodeUserRecord]:
    return list((await house.store.load()).node_users)


def test_a_user_is_kept_with_a_sealed_password() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        user = await add(house)

        assert await users(house) == [user]
        assert (user.name, user.admin, user.ssh_public_key) == ("Me", True, "AAAA")
        assert user.expiry_us == house.now_us + LIFE_US
        assert user.password is not None
        assert b"a password" not in user.password
        vault = house.settings.vault
        assert vault is not None
        name = secret_name(ACCOUNT, (await the_node(house)).id, "ME")
        assert vault.open(user.password, name) == b"a password"

    play(scenario)


def test_a_name_is_one_user_of_a_node() -> None:
    async def scenario(house: House) -> None:
        await house.pool(nodes=2)
        for node in await house.nodes():
            await house.engine.add_node_user(ACCOUNT, "pool", node.id, "me", LOGIN, admin=False)
        with pytest.raises(NodeUserExists):
            await house.engine.add_node_user(ACCOUNT, "pool", node.id, "ME", LOGIN, admin=False)
        with pytest.raises(NodeNotFound):
            await house.engine.add_node_user(ACCOUNT, "pool", "none", "me", LOGIN, admin=False)
        with pytest.raises(PoolNotFound):
            await house.engine.add_node_user(ACCOUNT, "none", node.id, "me", LOGIN, admin=False)

    play(scenario)


def test_what_is_replaced_is_replaced_as_a_whole() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await add(house)
        await house.crash()
        node = await the_node(house)
        until = NodeLogin(expiry_us=house.now_us + 5)
        changed = await house.engine.replace_node_user(ACCOUNT, "pool", node.id, "me", until)

        assert (changed.password, changed.ssh_public_key) == (None, None)
        assert changed.expiry_us == house.now_us + 5
        assert (changed.name, changed.admin) == ("Me", True)
        assert await users(house) == [changed]
        with pytest.raises(NodeUserNotFound):
            await house.engine.replace_node_user(ACCOUNT, "pool", node.id, "you", until)

    play(scenario)


def test_a_deleted_user_is_not_found() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await add(house)
        node = await the_node(house)
        await house.engine.delete_node_user(ACCOUNT, "pool", node.id, "ME")
        assert await users(house) == []
        with pytest.raises(NodeUserNotFound):
            await house.engine.delete_node_user(ACCOUNT, "pool", node.id, "me")
        await add(house)

    play(scenario)


@pytest.mark.parametrize(("work", "stays"), [(NodeWork.REBOOT, True), (NodeWork.REIMAGE, False)])
def test_users_outlive_a_reboot_and_not_the_machine(work: NodeWork, stays: bool) -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        user = await add(house)
        node = await the_node(house)
        await house.engine.work_on_node(ACCOUNT, "pool", node.id, work, Removal.REQUEUE)
        await house.host.settle()
        assert await users(house) == ([user] if stays else [])
        assert (await the_node(house)).state is NodeState.IDLE

    play(scenario)


def test_a_deallocated_node_has_no_users() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await add(house)
        node = await the_node(house)
        work = NodeWork.DEALLOCATE
        await house.engine.work_on_node(ACCOUNT, "pool", node.id, work, Removal.REQUEUE)
        await house.host.settle()
        assert (await the_node(house)).state is NodeState.DEALLOCATED
        assert await users(house) == []
        with pytest.raises(OperationInvalidForCurrentState):
            await add(house)

    play(scenario)


def test_users_go_with_their_node() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        await add(house)
        await house.engine.resize_pool(ACCOUNT, "pool", Resize(target_dedicated_nodes=0), ANY)
        await house.host.settle()
        assert await house.nodes() == []
        assert await users(house) == []

    play(scenario)


async def creating(house: House) -> None:
    spec = PoolSpec(id="pool", vm_size="standard_d4_v3", target_dedicated_nodes=1)
    await house.engine.add_pool(ACCOUNT, spec)


async def rebooting(house: House) -> None:
    await house.pool()
    house.host.obedient = False
    node = await the_node(house)
    await house.engine.work_on_node(ACCOUNT, "pool", node.id, NodeWork.REBOOT, Removal.REQUEUE)


async def lost(house: House) -> None:
    await house.pool()
    await house.host.cut()
    await house.pass_time(31)


@pytest.mark.parametrize(
    ("prepare", "refusal"),
    [(creating, NodeBeingCreated), (rebooting, NodeBeingRebooted), (lost, NodeStateUnusable)],
)
def test_a_node_that_is_not_up_takes_no_users(prepare: object, refusal: type[Refusal]) -> None:
    async def scenario(house: House) -> None:
        assert callable(prepare)
        await prepare(house)
        with pytest.raises(refusal):
            await add(house)
        node = await the_node(house)
        with pytest.raises(refusal):
            await house.engine.delete_node_user(ACCOUNT, "pool", node.id, "me")

    play(scenario)


def test_an_offline_node_takes_users() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        node = await the_node(house)
        await house.engine.disable_node(ACCOUNT, "pool", node.id, Removal.REQUEUE)
        assert (await the_node(house)).state is NodeState.OFFLINE
        await add(house)

    play(scenario)
