"""An answer under way: a thread makes it, the event loop reads it, and either may end first."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Generic, TypeVar

from starlette.requests import Request

from tuner.serving.pool import Pool, Seat
from tuner.serving.refusals import GONE, RefusedError, failed, too_slow

T = TypeVar("T")
S = TypeVar("S")
#: Begins an answer with a session; the function says if nobody wants it any more.
Begin = Callable[[S, Callable[[], bool]], Iterable[T]]
_END = object()


class Deadline:
    """When a request has to be answered."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.at = asyncio.get_running_loop().time() + seconds

    async def wait(self, what: Awaitable[T]) -> T:
        """Return what comes.

        Raises:
            RefusedError: it does not come in time.
        """
        try:
            async with asyncio.timeout_at(self.at):
                return await what
        except TimeoutError:
            raise too_slow(self.seconds) from None


class Running(Generic[S, T]):
    """One answer, made in its seat's thread. The seat is free as soon as the thread is done with it.

    `answer` is what `begin` returned, `error` what the engine failed with.
    """

    def __init__(self, pool: Pool[S], seat: Seat[S], begin: Begin[S, T], deadline: Deadline) -> None:
        self._pool, self._seat, self._begin, self._deadline = pool, seat, begin, deadline
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Any] = asyncio.Queue()
        self._gone = threading.Event()
        self.answer: Any = None
        self.error: BaseException | None = None
        seat.thread.submit(self._work)

    def give_up(self) -> None:
        """Say that nobody wants the answer any more: it ends with the token at hand."""
        self._gone.set()

    async def items(self) -> AsyncIterator[T]:
        """Yield the answer's parts as they come.

        Raises:
            RefusedError: the engine failed, or the time is up.
        """
        try:
            while (item := await self._deadline.wait(self._items.get())) is not _END:
                yield item
        finally:
            self.give_up()
        if self.error is not None:
            raise failed(self.error)

    async def whole(self) -> list[T]:
        """Return all parts.

        Raises:
            RefusedError: as `items`.
        """
        async with contextlib.aclosing(self.items()) as items:  # type: ignore[type-var]
            return [item async for item in items]

    def _work(self) -> None:
        try:
            if not self._gone.is_set():
                self.answer = self._begin(self._seat.session, self._gone.is_set)
                for item in self.answer:
                    self._tell(self._items.put_nowait, item)
        except Exception as error:
            self.error = error
        self._tell(self._items.put_nowait, _END)
        self._tell(self._pool.leave, self._seat)

    def _tell(self, call: Callable[..., None], value: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
            self._loop.call_soon_threadsafe(call, value)


async def unless_gone(request: Request, what: Awaitable[T]) -> T:
    """Return what comes; should the client hang up before, it is cancelled.

    Raises:
        RefusedError: the client hung up; what `what` raises.
    """
    work, gone = asyncio.ensure_future(what), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait([work, gone], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise RefusedError(GONE, "the client hung up")
    finally:
        gone.cancel()
        work.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
