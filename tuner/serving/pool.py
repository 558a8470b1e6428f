"""The seats, and the line of requests before them: first come, first served.

A session is a seat, or several where its engine answers several requests together (`batching`).
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tuner.serving.refusals import full, leaving

T = TypeVar("T")


@dataclass(eq=False)
class Seat(Generic[T]):
    """A session and the one thread in which it was loaded and is used: some engines are bound to their thread.

    Seats of the same `replica` share what computes.
    """

    session: T
    thread: ThreadPoolExecutor = field(repr=False)
    replica: int = 0


#: Makes a session's seats, given its thread and the number of its replica.
Seats = Callable[[T, ThreadPoolExecutor, int], list[Seat[T]]]


def one_seat(session: T, thread: ThreadPoolExecutor, replica: int) -> list[Seat[T]]:
    """Return the seat of a session that answers one request at a time."""
    return [Seat(session, thread, replica)]


class Pool(Generic[T]):
    """Hands seats to requests. Its methods belong to the thread of the event loop."""

    def __init__(self, seats: list[Seat[T]], queue: int) -> None:
        self.size, self.queue = len(seats), queue
        self.sessions = len({seat.replica for seat in seats})
        self._free, self._taken = list(seats), Counter[int]()
        self._line: deque[asyncio.Future[Seat[T]]] = deque()
        self.closed = False

    @classmethod
    def load(cls, make: Callable[[], T], replicas: int, queue: int, seats: Seats[T] = one_seat) -> Pool[T]:
        """Load the sessions one after the other, each in a thread of its own.

        Raises:
            whatever `make` raises.
        """
        found = list[Seat[T]]()
        for number in range(replicas):
            thread = ThreadPoolExecutor(1, f"session-{number}")
            found += seats(thread.submit(make).result(), thread, number)
        return cls(found, queue)

    @property
    def busy(self) -> int:
        """Return how many seats are taken."""
        return self.size - len(self._free)

    @property
    def waiting(self) -> int:
        """Return how many requests wait for a seat."""
        return len(self._line)

    async def enter(self) -> Seat[T]:
        """Return a seat as soon as one is free, of the replica that has the least to do.

        Whoever is cancelled while waiting gives up its place in the line.

        Raises:
            RefusedError: the line is full, or the server is ending.
        """
        if self.closed:
            raise leaving()
        if self._free:
            seat = min(self._free, key=lambda seat: self._taken[seat.replica])
            self._free.remove(seat)
            self._taken[seat.replica] += 1
            return seat
        if len(self._line) >= self.queue:
            raise full(self.waiting)
        place: asyncio.Future[Seat[T]] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and not place.exception():
                self.leave(place.result())  # it was given one in the same moment
            elif place in self._line:
                self._line.remove(place)
            raise

    def leave(self, seat: Seat[T]) -> None:
        """Give the seat to the first of the line, or back."""
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(seat)
                return
        self._taken[seat.replica] -= 1
        self._free.append(seat)

    def close(self) -> None:
        """Take no more requests, and send away those that wait; answers under way go on."""
        self.closed = True
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_exception(leaving())
