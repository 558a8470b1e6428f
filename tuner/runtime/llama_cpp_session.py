"""Serve a GGUF with llama.cpp. Needs numpy and llama-cpp-python."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from .drafting import Drafting
from .llama_cpp_batch import Batch
from .llama_cpp_cache import Cache, load_model
from .token_loop import check_tokens, scored

#: Tokens scored together, which keeps the logits small.
_TOGETHER = 32


class Session(Drafting):
    """One model and a cache for one conversation, that grows with the longest so far; batches have their own."""

    def __init__(self, directory: Path, threads: int) -> None:
        super().__init__(directory, threads)
        described = json.loads((directory / "artefact.json").read_text())
        self.context, self.vocabulary = int(described["context"]), int(described["vocabulary"])
        self._threads, self._kv_bits = threads, described["kv_bits"]
        self._model = load_model(directory / described["model"])
        self._cache = self._new_cache()

    def batch(self, slots: int) -> Batch:
        """Return a batch for so many requests at a time, with a cache of its own."""
        return Batch(self._new_cache(slots), self.context, self.vocabulary, slots)

    def score(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log-probabilities and likeliest tokens (n - 1,) of tokens (n,) in one pass.

        Raises:
            ValueError: the tokens do not fit.
        """
        check_tokens(tokens, self.context, self.vocabulary)
        return scored(self.told(len(tokens)).read_all, tokens, _TOGETHER)

    def told(self, room: int) -> _Told:
        """Return a new conversation of at most so many tokens; the one before is over."""
        return _Told(self._cache, room)

    def _new_cache(self, sequences: int = 1) -> Cache:
        return Cache(self._model, self.vocabulary, self._threads, self._kv_bits, sequences)


class _Told:
    """What the one conversation was told so far."""

    def __init__(self, cache: Cache, room: int) -> None:
        self._cache, self._place, self._wanted = cache, 0, room

    def read(self, tokens: Sequence[int]) -> np.ndarray:
        """Read tokens after those before; return the logits (vocabulary,) of what may follow."""
        return self._told(tokens, [len(tokens) - 1])[0]

    def read_all(self, tokens: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the logits (tokens, vocabulary) after each."""
        return self._told(tokens, range(len(tokens)))

    def forget(self, count: int) -> None:
        """Take back the last tokens."""
        if count:
            self._place -= count
            self._cache.forget(0, self._place)

    def _told(self, tokens: Sequence[int] | np.ndarray, kept: Collection[int]) -> np.ndarray:
        if not self._place:
            self._cache.empty(self._wanted)  # nothing of an earlier conversation is left
        logits = self._cache.read(tokens, self._place, kept)
        self._place += len(tokens)
        return logits


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
