"""Prompts: requests of an exact length, made from documents, as a user of the chat model would send them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tuner.errors import InputError
from tuner.tasks.generation.chat import Opening
from tuner.tasks.generation.coder import Coder

_REQUEST = "Summarize this text in one sentence:\n\n"
_FEWEST = 8  # tokens of a document: with fewer, all requests would be nearly the same
_AROUND = (0, 1, -1, 2, -2, 3, -3)


def prompts(
    texts: Iterable[str], coder: Coder, opening: Opening | None, length: int, wanted: int
) -> np.ndarray:
    """Return int64 (prompts, length): requests to sum up a document, cut inside the document so that they fit exactly.

    With a chat template the whole conversation is so long, up to and with the assistant's opening; without one a
    prompt is a document's beginning. Too short documents are passed over. Fewer than `wanted` are returned where
    there are not more documents.

    Raises:
        InputError: `scenario.prompt_tokens` leaves no room for a document, or no document is long enough.
    """
    room = length - len(_prompt("", coder, opening))
    if room < _FEWEST:
        raise InputError(
            f"scenario.prompt_tokens: {length} are too few: the chat template and the request alone take "
            f"{length - room}, and a document needs {_FEWEST}; raise it to at least {length - room + _FEWEST}"
        )
    found: list[list[int]] = []
    for text in texts:
        prompt = _exact(text.strip(), coder, opening, length, room)
        found += [prompt] if prompt else []
        if len(found) == wanted:
            break
    if not found:
        raise InputError(
            f"scenario.prompt_tokens: no document is long enough for prompts of {length} tokens; lower it"
        )
    return np.array(found, dtype=np.int64)


def _exact(text: str, coder: Coder, opening: Opening | None, length: int, room: int) -> list[int] | None:
    """Return a prompt of `length` tokens or None. Tokens at a cut may join those after it, so neighbours are tried."""
    if len(coder.bare(text)) < room:
        return None
    tried = (_prompt(coder.beginning(text, room + more), coder, opening) for more in _AROUND)
    return next((prompt for prompt in tried if len(prompt) == length), None)


def _prompt(text: str, coder: Coder, opening: Opening | None) -> list[int]:
    return coder.text(text) if opening is None else coder.bare(opening(_REQUEST + text))
