"""The generating session: what every engine of a causal language model offers, to the tuner and to a bundle alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeGuard

import numpy as np

#: Takes the logits (vocabulary,) of the next token and returns the token chosen; None is greedy.
Choose = Callable[[np.ndarray], int]


class AnsweringSession(Protocol):
    """What answers one conversation at a time."""

    @property
    def context(self) -> int:
        """Return the most tokens of prompt and answer together."""
        ...

    @property
    def vocabulary(self) -> int:
        """Return the number of tokens."""
        ...

    def stream(
        self, prompt: Sequence[int], most: int, stop: Collection[int] = (), choose: Choose | None = None
    ) -> Iterator[int]:
        """Yield the next tokens as they are chosen, `most` at most, up to a `stop` token, which is not yielded.

        The first yield comes when the prompt has been read (time to first token). Whoever stops iterating early
        leaves the session ready for the next call.

        Raises:
            ValueError: an empty prompt, a token outside the vocabulary, or more than the context holds.
        """
        ...


class GeneratingSession(AnsweringSession, Protocol):
    """A loaded language model with a KV cache of its own.

    Where an engine can draft (its offer says so), `draft` may be set to `lookup` or `student` for greedy answers, and
    `drafts` counts (see `drafting`).
    """

    def score(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the model expects after each token of int64 (n,), in one pass.

        Two arrays (n - 1,): float32, the natural logarithm of the probability of each token after the first, given
        those before it; int64, the likeliest token at its place.

        Raises:
            ValueError: fewer than two tokens, one outside the vocabulary, or more than the context holds.
        """
        ...


class Said(NamedTuple):
    """What a step says of one request: its next `token`, None where a stop token or an `error` ended it without one.

    `finished`: it has left the batch.
    """

    number: int
    token: int | None
    finished: bool
    error: Exception | None = None


class Batch(Protocol):
    """Answers that are made together, the weights being read once for all: continuous batching (Orca, Yu et al. 2022).

    Requests join and leave between any two steps. One thread uses a batch.
    """

    def add(
        self, prompt: Sequence[int], most: int, stop: Collection[int] = (), choose: Choose | None = None
    ) -> int:
        """Take in a request, as `GeneratingSession.stream` does, and return its number.

        Raises:
            ValueError: the prompt does not fit, or all slots are taken.
        """
        ...

    def step(self) -> list[Said]:
        """Compute once for all requests, and return what was said; a request whose prompt is long says nothing yet.

        Raises:
            RuntimeError: the engine failed; the batch is empty.
        """
        ...

    def drop(self, number: int) -> None:
        """Take out a request, which frees its part of the KV cache; one that has left already is let be."""
        ...


class BatchingSession(GeneratingSession, Protocol):
    """A session that can answer several requests together."""

    def batch(self, slots: int) -> Batch:
        """Return a batch for so many requests at a time."""
        ...


def can_batch(session: object) -> TypeGuard[BatchingSession]:
    """Say whether a session can answer several requests together."""
    return hasattr(session, "batch")


def check_room(prompt: Sequence[int], most: int, context: int, vocabulary: int) -> None:
    """Refuse what a session cannot answer.

    Raises:
        ValueError: an empty prompt, `most` below 1, a token outside the vocabulary, or more than the context holds.
    """
    if not len(prompt):
        raise ValueError("the prompt is empty")
    if most < 1:
        raise ValueError(f"{most} new tokens: at least one is needed")
    if len(prompt) + most > context:
        raise ValueError(
            f"{len(prompt)} tokens of prompt and {most} new ones are more than the {context} that fit"
        )
    if min(prompt) < 0 or max(prompt) >= vocabulary:
        raise ValueError(f"a token of the prompt is not in the vocabulary of {vocabulary}")


def log_softmax_at(logits: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Return float32 (n,): the logarithms of the probabilities of `tokens` (n,) under `logits` (n, vocabulary)."""
    highest = logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(logits - highest, dtype=np.float32).sum(axis=-1, dtype=np.float64))
    chosen = np.take_along_axis(logits, tokens[:, None], axis=-1)[:, 0]
    return (chosen - highest[:, 0] - total).astype(np.float32)
