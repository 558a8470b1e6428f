"""Speculative decoding by prompt lookup: what followed the same words earlier is drafted, and read in one pass.

Saxena 2023, "Prompt Lookup Decoding"; Yang et al. 2023, "Inference with Reference" (arXiv 2304.04487). Greedy answers
stay what they are: a drafted token is kept only where the model itself would have chosen it (Leviathan et al. 2023,
arXiv 2211.17192, for the greedy case). Reading a few tokens at once costs little more than reading one where reading
the weights is what takes the time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from .token_loop import ReadAll

#: Tokens that must repeat, the more the better. After a single one anything may follow: drafts would mostly be wrong.
_LONGEST, _SHORTEST = 3, 2
_DRAFTED = 4  # tokens at most: each costs a little, and the farther the less likely it is right

#: Takes back so many of the tokens that were read last.
Forget = Callable[[int], None]


@dataclass
class Drafts:
    """How many tokens were drafted, and how many of them were right."""

    drafted: int = 0
    accepted: int = 0


def lookup_loop(
    read: ReadAll, forget: Forget, prompt: Sequence[int], most: int, stop: Collection[int], counts: Drafts
) -> Iterator[int]:
    """Yield up to `most` tokens after the prompt, the likeliest each time, ending before one of `stop`."""
    known, unread, draft = list(prompt), list(prompt), list[int]()
    left = most
    while left:
        likeliest = read([*unread, *draft])[len(unread) - 1 :].argmax(axis=-1).tolist()
        right = next((i for i, token in enumerate(draft) if likeliest[i] != token), len(draft))
        forget(len(draft) - right)
        counts.drafted += len(draft)
        counts.accepted += right
        for token in likeliest[: right + 1]:
            if token in stop:
                return
            yield token
            known.append(token)
        left -= right + 1
        unread, draft = known[-1:], propose(known, min(_DRAFTED, left - 1))


def propose(known: Sequence[int], most: int) -> list[int]:
    """Return what followed the last tokens when they were met before, the latest time; nothing if they never were."""
    for length in range(min(_LONGEST, len(known) - 1), _SHORTEST - 1, -1):
        last = list(known[-length:])
        for start in range(len(known) - length - 1, -1, -1):
            if list(known[start : start + length]) == last:
                return list(known[start + length : start + length + max(most, 0)])
    return []
