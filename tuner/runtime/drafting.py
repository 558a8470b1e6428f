"""Speculative decoding: something cheap guesses the next tokens, and the model reads them all in one pass.

Greedy answers stay what they are: a drafted token is kept only where the model itself would have chosen it (Leviathan
et al. 2023, arXiv 2211.17192, for the greedy case). Reading a few tokens at once costs little more than reading one
where reading the weights is what takes the time. What guesses is a lookup of the same words before, or a smaller
student of the same model (`students_guess`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from .generating import Choose, check_room
from .loader import load_session
from .lookup import propose
from .token_loop import token_loop

#: Takes what is known, prompt and answer, and returns at most so many tokens that may follow.
Guess = Callable[[Sequence[int], int], list[int]]

#: Tokens at most: each costs a little, and the farther the less likely it is right.
_LOOKED_UP, _STUDENTS = 4, 6
#: A student guesses on while the token it chose is so likely to it. What it doubts is mostly wrong (transformers'
#: `assistant_confidence_threshold`; Mamou et al. 2024, arXiv 2405.04304).
_SURE = 0.4
DRAFT = "draft"  # the directory of a student's artefact within that of the model it drafts for


class Told(Protocol):
    """What one conversation's model was told so far."""

    def read(self, tokens: Sequence[int]) -> np.ndarray:
        """Read tokens after those before; return the logits (vocabulary,) of what may follow."""
        ...

    def read_all(self, tokens: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read tokens after those before; return the logits (tokens, vocabulary) after each."""
        ...

    def forget(self, count: int) -> None:
        """Take back the last tokens."""
        ...


@dataclass
class Drafts:
    """How many tokens were drafted, and how many of them were right."""

    drafted: int = 0
    accepted: int = 0


class Drafting:
    """A session that can draft: `draft` is None, `lookup` or `student`, and `drafts` counts.

    Args:
        directory: of the artefact; a student's is in `draft` below it.
        threads: of the session, and of its student's.
    """

    context: int
    vocabulary: int

    def __init__(self, directory: Path, threads: int) -> None:
        self.draft: str | None = None
        self.drafts = Drafts()
        self._student_at, self._student_threads = directory / DRAFT, threads

    def told(self, room: int) -> Told:
        """Return a new conversation of at most so many tokens; the one before is over."""
        raise NotImplementedError

    def stream(
        self, prompt: Sequence[int], most: int, stop: Collection[int] = (), choose: Choose | None = None
    ) -> Iterator[int]:
        """Yield the next tokens (see `GeneratingSession`), drafted where that is wished and the answer is greedy.

        Raises:
            ValueError: the prompt does not fit.
        """
        check_room(prompt, most, self.context, self.vocabulary)
        told = self.told(len(prompt) + most)
        if self.draft is None or choose is not None:
            return token_loop(told.read, prompt, most, stop, choose)
        return drafted_loop(told, self._guess(len(prompt) + most), prompt, most, stop, self.drafts)

    def _guess(self, room: int) -> Guess:
        if self.draft == "student":
            return students_guess(self._student.told(room))
        return lambda known, most: propose(known, min(most, _LOOKED_UP))

    @cached_property
    def _student(self) -> Drafting:
        return cast(Drafting, load_session(self._student_at, self._student_threads))


def drafted_loop(
    told: Told, guess: Guess, prompt: Sequence[int], most: int, stop: Collection[int], counts: Drafts
) -> Iterator[int]:
    """Yield up to `most` tokens after the prompt, the likeliest each time, ending before one of `stop`."""
    known, unread, draft = list(prompt), list(prompt), list[int]()
    left = most
    while left:
        likeliest = told.read_all([*unread, *draft])[len(unread) - 1 :].argmax(axis=-1).tolist()
        right = next((i for i, token in enumerate(draft) if likeliest[i] != token), len(draft))
        told.forget(len(draft) - right)
        counts.drafted += len(draft)
        counts.accepted += right
        for token in likeliest[: right + 1]:
            if token in stop:
                return
            yield token
            known.append(token)
        left -= right + 1
        unread, draft = known[-1:], guess(known, left - 1) if left > 1 else []


def students_guess(told: Told) -> Guess:
    """Return the guesses of a smaller model: its own greedy answer, as far as it is sure of it."""
    read: list[int] = []  # what it was told

    def guess(known: Sequence[int], most: int) -> list[int]:
        same = _alike(read, known)
        told.forget(len(read) - same)
        del read[same:]
        unread, found = list(known[same:]), list[int]()
        while len(found) < min(most, _STUDENTS):
            token, share = _likeliest(told.read(unread))
            read.extend(unread)
            if share < _SURE:
                break
            found.append(token)
            unread = [token]
        return found

    return guess


def _alike(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how long the beginning is that two sequences share; of `other` at least a token is left to read."""
    pairs = zip(one, other[:-1], strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other) - 1))


def _likeliest(logits: np.ndarray) -> tuple[int, float]:
    """Return the likeliest token of logits (vocabulary,), and its probability."""
    token = int(logits.argmax())
    return token, 1.0 / float(np.exp(logits - logits[token], dtype=np.float32).sum())
