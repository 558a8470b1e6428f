"""Several conversations in one session: a thread that computes steps for all, and a seat for each conversation.

A seat's session looks like one of its own (`stream`), so whoever answers a request knows nothing of the others.

    a request's thread ── stream ──▶ Batcher.ask ──▶ the batch's thread: take in, drop, step, and again
                       ◀── tokens ── a queue for each request ◀──────────────┘   asleep while nobody asks
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tuner.runtime.generating import (
    AnsweringSession,
    Batch,
    BatchingSession,
    Choose,
    Said,
    can_batch,
    check_room,
)
from tuner.serving.pool import Seat


@dataclass(eq=False)
class _Asked:
    """One request; `said` is what comes of it, until one that is finished."""

    prompt: Sequence[int]
    most: int
    stop: Collection[int]
    choose: Choose | None
    said: queue.SimpleQueue[Said] = field(default_factory=queue.SimpleQueue)
    number: int = 0  # in the batch, 0 before
    is_left: bool = False  # nobody waits for it any more


class Batcher:
    """Runs a batch in the one thread that its session is bound to, as long as anybody asks."""

    def __init__(self, session: BatchingSession, slots: int, thread: ThreadPoolExecutor) -> None:
        self.session, self._thread = session, thread
        self._batch: Batch = thread.submit(session.batch, slots).result()
        self._lock = threading.Lock()
        self._news: list[_Asked] = []  # requests that came, or were left, since the last step
        self._asked: dict[int, _Asked] = {}
        self._is_working = False

    def ask(self, asked: _Asked) -> None:
        """Take in a request, or hear that it was left; from any thread."""
        with self._lock:
            self._news.append(asked)
            if not self._is_working:
                self._is_working = True
                self._thread.submit(self._work)

    def _work(self) -> None:
        while self._is_wanted():
            try:
                for said in self._batch.step():
                    self._tell(self._asked[said.number], said)
            except Exception as error:  # the engine's: of all who are being answered
                for asked in list(self._asked.values()):
                    self._batch.drop(asked.number)
                    self._tell(asked, Said(asked.number, None, True, error))

    def _is_wanted(self) -> bool:
        """Let in and out who came and left; say whether there is anything to compute."""
        with self._lock:
            news, self._news = self._news, []
            self._is_working = bool(news or self._asked)
        for asked in news:
            if asked.is_left:
                self._batch.drop(asked.number)
                self._asked.pop(asked.number, None)
            else:
                self._let_in(asked)
        return self._is_working

    def _let_in(self, asked: _Asked) -> None:
        try:
            asked.number = self._batch.add(asked.prompt, asked.most, asked.stop, asked.choose)
        except Exception as error:
            asked.said.put(Said(0, None, True, error))
        else:
            self._asked[asked.number] = asked

    def _tell(self, asked: _Asked, said: Said) -> None:
        if said.finished:
            self._asked.pop(asked.number, None)
        asked.said.put(said)


@dataclass(frozen=True)
class Slot:
    """A session in which one of the batch's conversations is held (see `AnsweringSession`)."""

    batcher: Batcher

    @property
    def context(self) -> int:
        """Return the most tokens of a conversation."""
        return self.batcher.session.context

    @property
    def vocabulary(self) -> int:
        """Return the number of tokens."""
        return self.batcher.session.vocabulary

    def stream(
        self, prompt: Sequence[int], most: int, stop: Collection[int] = (), choose: Choose | None = None
    ) -> Iterator[int]:
        """Yield the next tokens. Whoever stops iterating frees the slot, and its part of the KV cache.

        Raises:
            ValueError: the prompt does not fit.
        """
        check_room(prompt, most, self.context, self.vocabulary)
        return self._said(_Asked(prompt, most, stop, choose))

    def _said(self, asked: _Asked) -> Iterator[int]:
        self.batcher.ask(asked)
        finished = False
        try:
            while not finished:
                said = asked.said.get()
                finished = said.finished
                if said.error is not None:
                    raise said.error
                if said.token is not None:
                    yield said.token
        finally:
            if not finished:
                asked.is_left = True
                self.batcher.ask(asked)


def seats_of(
    session: AnsweringSession, thread: ThreadPoolExecutor, replica: int, slots: int
) -> list[Seat[AnsweringSession]]:
    """Return so many seats that share a session, or the one that it is where its engine answers one at a time."""
    if slots == 1 or not can_batch(session):
        return [Seat(session, thread, replica)]
    batcher = Batcher(session, slots, thread)
    return [Seat(Slot(batcher), ThreadPoolExecutor(1, f"slot-{replica}-{i}"), replica) for i in range(slots)]
