"""Questions about files, and their answers."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from penstock.domain.refusals import NodeStateUnusable, ServerBusy
from penstock.messages import AskFile, FileInfo
from tests.unit.engine.house import House, play

INFO = FileInfo(name="stdout.txt", directory=False, size=6)


async def asked(house: House) -> AskFile:
    """The question, once the host has it."""
    async with asyncio.timeout(5):
        while not (questions := house.host.take(AskFile)):
            await asyncio.sleep(0)
    return questions[0]


def test_bytes_are_handed_on_as_they_come() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        (node,) = await house.nodes()
        asking = asyncio.create_task(house.engine.ask_file(node, "", "read", "stdout.txt"))
        question = await asked(house)
        coming = house.engine.files.begin(question.request, "ok", INFO)
        assert coming is not None
        answer = await asking
        assert (answer.status, answer.info) == ("ok", INFO)

        async def send() -> None:
            for piece in (b"abc", b"def"):
                assert await coming.put(piece)
            await coming.end(whole=True)

        sending = asyncio.create_task(send())
        assert [piece async for piece in answer.body()] == [b"abc", b"def"]
        await sending
        assert house.engine.files.begin(question.request, "ok", INFO) is None

    play(scenario)


def test_an_answer_that_is_cut_off_is_no_whole_answer() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        (node,) = await house.nodes()
        asking = asyncio.create_task(house.engine.ask_file(node, "", "read", "stdout.txt"))
        coming = house.engine.files.begin((await asked(house)).request, "ok", INFO)
        assert coming is not None
        answer = await asking
        await coming.end(whole=False)
        with pytest.raises(ConnectionError):
            async for _ in answer.body():
                pass

    play(scenario)


def test_a_reader_who_leaves_stops_the_sender() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        (node,) = await house.nodes()
        asking = asyncio.create_task(house.engine.ask_file(node, "", "read", "big"))
        coming = house.engine.files.begin((await asked(house)).request, "ok", INFO)
        assert coming is not None
        answer = await asking
        taken = 0
        filling = asyncio.create_task(coming.put(b"x"))
        while await asyncio.wait_for(filling, 5):
            taken += 1
            filling = asyncio.create_task(coming.put(b"x"))
            if taken == 4:
                await answer.close()
        assert taken == 4, "no more than a few pieces wait for a reader"

    play(scenario)


def test_a_host_that_is_away_is_waited_for_but_not_for_ever() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        (node,) = await house.nodes()
        await house.host.cut()
        house.engine.settings = replace(house.settings, link_wait_s=0.05)
        with pytest.raises(NodeStateUnusable):
            await house.engine.ask_file(node, "", "stat")
        house.engine.settings = replace(house.settings, link_wait_s=10)
        asking = asyncio.create_task(house.engine.ask_file(node, "", "stat"))
        await house.host.connect([node.no])
        house.engine.files.begin((await asked(house)).request, "notfound", None)
        assert (await asking).status == "notfound"

    play(scenario)


def test_questions_are_bounded_and_wait_a_bounded_time() -> None:
    async def scenario(house: House) -> None:
        await house.pool()
        (node,) = await house.nodes()
        house.engine.files._wait_s = 0.05
        house.engine.files._most = 1
        asking = asyncio.create_task(house.engine.ask_file(node, "", "stat"))
        await asked(house)
        with pytest.raises(ServerBusy):
            await house.engine.ask_file(node, "", "stat")
        with pytest.raises(NodeStateUnusable):
            await asking

    play(scenario)
