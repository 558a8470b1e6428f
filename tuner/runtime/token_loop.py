"""The loop that every generating session runs: choose a token, hand it out, read it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from .generating import Choose

#: Reads tokens after those read before; returns the logits (vocabulary,) of what may follow.
Read = Callable[[Sequence[int]], np.ndarray]


def token_loop(
    read: Read, prompt: Sequence[int], most: int, stop: Collection[int], choose: Choose | None
) -> Iterator[int]:
    """Yield up to `most` tokens after the prompt, ending before one of `stop`; the last one is not read again."""
    unread = prompt
    for _ in range(most):
        logits = read(unread)
        token = choose(logits) if choose else int(logits.argmax())
        if token in stop:
            return
        yield token
        unread = (token,)


def check_tokens(tokens: np.ndarray, context: int, vocabulary: int) -> None:
    """Refuse what a session cannot score.

    Raises:
        ValueError: fewer than two tokens, one outside the vocabulary, or more than the context holds.
    """
    if len(tokens) < 2:
        raise ValueError(f"{len(tokens)} tokens: at least two are needed to score one")
    if len(tokens) > context:
        raise ValueError(f"{len(tokens)} tokens are more than the {context} that fit")
    if tokens.min() < 0 or tokens.max() >= vocabulary:
        raise ValueError(f"a token is not in the vocabulary of {vocabulary}")
