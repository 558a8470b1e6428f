"""Continuous batching with llama.cpp: requests share each step, join and leave between any two, and share one cache.

A step reads one token of each request that is being answered and, beside them, a part of the prompts of those that are
new, so that nobody's stream stands still while a long prompt is read (Sarathi-Serve, Agrawal et al. 2024). Where the
cache is full, whoever came last gives its part back and reads again later (PagedAttention, Kwon et al. 2023, 4.5).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .generating import Choose, Said, check_room
from .llama_cpp_cache import BATCH, Cache, Row

_CHUNK = 64  # tokens of prompts in a step that others wait for
_AHEAD = 128  # tokens of an answer for which there is to be room when a request is let in
_EACH = 1024  # tokens of the cache for each slot, at most; together no fewer than one whole context


@dataclass(eq=False)
class _Request:
    """One request: all its tokens so far, and how many of them the cache holds under its `sequence`."""

    number: int
    sequence: int
    known: list[int]
    left: int
    stop: Collection[int]
    choose: Choose | None
    held: int = 0
    is_in: bool = False

    @property
    def is_answering(self) -> bool:
        """Say whether only its newest token is to be read."""
        return len(self.known) - self.held == 1

    def chosen(self, logits: np.ndarray) -> Said:
        """Choose the next token by its logits (vocabulary,)."""
        try:
            token = self.choose(logits) if self.choose else int(logits.argmax())
        except Exception as error:  # nobody else's concern
            return Said(self.number, None, True, error)
        if token in self.stop:
            return Said(self.number, None, True)
        self.known.append(token)
        self.left -= 1
        return Said(self.number, token, not self.left)


class Batch:
    """See `generating.Batch`.

    Args:
        cache: for at least so many sequences as there are slots.
        context, vocabulary: the model's.
        slots: requests at a time.
    """

    def __init__(self, cache: Cache, context: int, vocabulary: int, slots: int) -> None:
        self._cache, self._context, self._vocabulary = cache, context, vocabulary
        self._most = max(context, min(context, _EACH) * slots)
        self._free = list(range(slots))
        self._requests: dict[int, _Request] = {}  # in the order in which they came
        self._next = 0

    def add(
        self, prompt: Sequence[int], most: int, stop: Collection[int] = (), choose: Choose | None = None
    ) -> int:
        """Take in a request and return its number.

        Raises:
            ValueError: the prompt does not fit, or all slots are taken.
        """
        check_room(prompt, most, self._context, self._vocabulary)
        if not self._free:
            raise ValueError(f"all {len(self._requests)} slots are taken")
        self._next += 1
        found = _Request(self._next, self._free.pop(), list(prompt), most, stop, choose)
        self._requests[found.number] = found
        return found.number

    def drop(self, number: int) -> None:
        """Take out a request; one that has left already is let be."""
        request = self._requests.pop(number, None)
        if request is not None:
            self._give_back(request)
            self._free.append(request.sequence)

    def step(self) -> list[Said]:
        """Compute once for all requests, and return what was said.

        Raises:
            RuntimeError: llama.cpp failed; the batch is empty.
        """
        if not self._requests:
            return []
        try:
            self._let_in()
            turn = self._turn()
            logits = iter(
                self._cache.decoded([row for request, count in turn for row in _rows(request, count)])
            )
        except RuntimeError:
            for number in list(self._requests):
                self.drop(number)
            raise
        return self._said(turn, logits)

    def _said(self, turn: Sequence[tuple[_Request, int]], logits: Iterator[np.ndarray]) -> list[Said]:
        found = list[Said]()
        for request, count in turn:
            request.held += count
            if request.held == len(request.known):
                found.append(request.chosen(next(logits)))
        for said in found:
            if said.finished:
                self.drop(said.number)
        return found

    @property
    def held(self) -> int:
        """Return how many tokens the cache holds."""
        return sum(request.held for request in self._requests.values())

    def _let_in(self) -> None:
        """Let in whom there is room for, first come, first served, and send out the last where there is none left."""
        inside = [request for request in self._requests.values() if request.is_in]
        while len(inside) > 1 and _needed(inside) > self._most:
            self._give_back(inside.pop())
        for request in self._requests.values():
            if not request.is_in:
                if inside and _needed([*inside, request]) + _AHEAD > self._most:
                    break
                request.is_in = True
                inside.append(request)
        if inside and _needed(inside) > self._cache.room:
            self._enlarge(inside)

    def _enlarge(self, inside: Sequence[_Request]) -> None:
        """Make a larger cache; all is read again, which happens a few times in the life of a server."""
        for request in inside:
            request.held = 0
        self._cache.empty(min(_needed(inside) + _AHEAD * len(inside), self._most))

    def _give_back(self, request: _Request) -> None:
        if request.held:
            self._cache.forget(request.sequence)
        request.held, request.is_in = 0, False

    def _turn(self) -> list[tuple[_Request, int]]:
        """Return who is read in the next step, and how many tokens of each."""
        inside = [request for request in self._requests.values() if request.is_in]
        answering = [request for request in inside if request.is_answering]
        left = _CHUNK if answering else BATCH
        turn = [(request, 1) for request in answering]
        for request in inside:
            if left and not request.is_answering:
                turn.append((request, min(len(request.known) - request.held, left)))
                left -= turn[-1][1]
        return turn


def _needed(requests: Sequence[_Request]) -> int:
    """Return how many tokens the cache must hold for all to go on by one."""
    return sum(len(request.known) for request in requests)


def _rows(request: _Request, count: int) -> list[Row]:
    places = range(request.held, request.held + count)
    last = len(request.known) - 1
    return [(request.known[place], place, request.sequence, place == last) for place in places]
