"""The loop that every generating session runs: choose a token, hand it out, read it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from .generating import Choose, log_softmax_at

#: Reads tokens after those read before; returns the logits (vocabulary,) of what may follow.
Read = Callable[[Sequence[int]], np.ndarray]
#: The same for the logits (tokens, vocabulary) after each of them.
ReadAll = Callable[[Sequence[int] | np.ndarray], np.ndarray]


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


def scored(read_all: ReadAll, tokens: np.ndarray, together: int) -> tuple[np.ndarray, np.ndarray]:
    """Return log-probabilities and likeliest tokens (n - 1,) of tokens (n,), read `together` at a time.

    `read_all` reads tokens after those before and returns the logits (tokens, vocabulary) after each.
    """
    given = np.asarray(tokens, dtype=np.int64)
    taken, likeliest = [], []
    for start in range(0, len(given) - 1, together):
        answered = given[start + 1 : start + 1 + together]
        logits = read_all(given[start : start + len(answered)])
        taken.append(log_softmax_at(logits, answered))
        likeliest.append(logits.argmax(axis=-1))
    return np.concatenate(taken), np.concatenate(likeliest)


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
