"""Bodies on their way: after a failure they go on, and who is left out is not cut off in the middle of a step."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.app.courier import Courier
from gateway.errors import Unreachable
from tests import rosters

NORTH = rosters.member("north")


class Line:
    """The client's side of exchanges: bodies that were asked, and answers when the test gives them."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.answers: asyncio.Queue[bytes | Unreachable] = asyncio.Queue()

    async def exchange(self, url: str, certs: Sequence[bytes], body: bytes) -> bytes:
        self.asked.append(body)
        answer = await self.answers.get()
        if isinstance(answer, Unreachable):
            raise answer
        return answer


class Post:
    """A courier, and what it told."""

    def __init__(self) -> None:
        self.line = Line()
        self.answered: list[bytes] = []
        self.failed: list[str] = []
        self.taking = asyncio.Event()
        self.take = asyncio.Event()
        self.take.set()
        self.courier = Courier(self.line, self._answer, self._failure)  # type: ignore[arg-type]

    async def _answer(self, peer: str, body: bytes) -> None:
        self.taking.set()
        await self.take.wait()
        self.answered.append(body)

    async def _failure(self, peer: str, code: str) -> None:
        self.failed.append(code)

    async def until(self, asked: int) -> None:
        async with asyncio.timeout(5):
            while len(self.line.asked) < asked:
                await asyncio.sleep(0)


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_it_sends_again_after_it_was_stopped() -> None:
    post = Post()
    post.courier.members({"north": NORTH})
    for number in range(1, 4):
        running = asyncio.create_task(post.courier.run())
        post.courier.send("north", b"body %d" % number, urgent=False)
        await post.until(number)
        await stopped(running)
    assert post.line.asked == [b"body 1", b"body 2", b"body 3"]
    post.courier.members({})
    post.courier.members({"north": NORTH})  # while nothing runs
    post.courier.send("north", b"body 4", urgent=True)
    running = asyncio.create_task(post.courier.run())
    await post.until(4)
    await stopped(running)


async def test_who_is_left_out_by_the_answer_that_it_gave_is_heard_to_the_end() -> None:
    post = Post()
    post.courier.members({"north": NORTH})
    running = asyncio.create_task(post.courier.run())
    post.take.clear()
    post.courier.send("north", b"body", urgent=False)
    post.line.answers.put_nowait(b"a roster without north")
    await post.taking.wait()
    post.courier.members({})
    post.take.set()
    async with asyncio.timeout(5):
        while not post.answered:
            await asyncio.sleep(0)
    post.courier.send("north", b"more", urgent=False)
    await asyncio.sleep(0)
    assert post.line.asked == [b"body"]
    await stopped(running)


async def test_urgent_bodies_wait_and_others_give_way_to_newer_ones() -> None:
    post = Post()
    post.courier.members({"north": NORTH})
    running = asyncio.create_task(post.courier.run())
    post.courier.send("north", b"first", urgent=False)
    await post.until(1)
    for number in range(3):
        post.courier.send("north", b"older %d" % number, urgent=False)
        post.courier.send("north", b"evidence %d" % number, urgent=True)
    post.courier.send("nobody", b"nothing", urgent=True)
    for _ in range(4):
        post.line.answers.put_nowait(Unreachable("peer_away", "away"))
    await post.until(5)
    assert post.line.asked == [b"first", b"evidence 0", b"evidence 1", b"evidence 2", b"older 2"]
    await stopped(running)
    assert post.failed == ["peer_away"] * 4
