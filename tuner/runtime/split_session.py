"""The session of a divided model: spoken to like any other, answered by ranks in processes of their own.

Needs numpy here, and in the ranks torch, transformers and safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .generating import Choose, check_room
from .ranks import Ranks
from .split import Split
from .token_loop import check_tokens, token_loop


class _Divided:
    """What both kinds of sessions have: the ranks, and what their devices say."""

    def __init__(self, directory: Path, threads: int, split: Split) -> None:
        self._ranks = Ranks(directory, threads, split)

    @property
    def pids(self) -> list[int]:
        """Return the ranks' process ids: theirs is the memory that the model takes."""
        return self._ranks.pids

    def close(self) -> None:
        """End the ranks."""
        self._ranks.close()

    def _details(self, *given: Any) -> dict[str, float]:
        """Return what the ranks' devices say: the slowest one's time, the memory of all."""
        found = self._ranks.call("details", *given)
        merge: dict[str, Callable[[list[float]], float]] = {"device_ms": max}
        return {name: merge.get(name, sum)([one[name] for one in found]) for name in found[0]}


class Classifier(_Divided):
    """A divided classifier."""

    fixed_shape = None

    def __init__(self, directory: Path, threads: int, split: Split) -> None:
        super().__init__(directory, threads, split)
        self.inputs = list(_described(directory)["inputs"])

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return float32 logits (batch, labels) of int64 inputs (batch, sequence).

        Raises:
            RankError: a rank died or failed.
        """
        found: np.ndarray = self._ranks.call("run", {name: inputs[name] for name in self.inputs})[0]
        return found

    def details(self, inputs: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return what the devices say of calls with these inputs (see `Placed.details`); nothing on a processor."""
        return self._details({name: inputs[name] for name in self.inputs})


class Generating(_Divided):
    """A divided language model: a `GeneratingSession`. Each rank caches what its own heads, or layers, have read."""

    def __init__(self, directory: Path, threads: int, split: Split) -> None:
        described = _described(directory)
        self.context, self.vocabulary = int(described["context"]), int(described["vocabulary"])
        super().__init__(directory, threads, split)

    def stream(
        self, prompt: Sequence[int], most: int, stop: Collection[int] = (), choose: Choose | None = None
    ) -> Iterator[int]:
        """Yield the next tokens (see `GeneratingSession`).

        Raises:
            ValueError: the prompt does not fit.
            RankError: (while iterating) a rank died or failed.
        """
        check_room(prompt, most, self.context, self.vocabulary)
        return token_loop(self._reader(), prompt, most, stop, choose)

    def score(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log-probabilities and likeliest tokens (n - 1,) of tokens (n,) in one pass.

        Raises:
            ValueError: the tokens do not fit.
            RankError: a rank died or failed.
        """
        check_tokens(tokens, self.context, self.vocabulary)
        taken, likeliest = self._ranks.call("score", np.asarray(tokens))[0]
        return taken, likeliest

    def details(self) -> dict[str, float]:
        """Return what the devices say of the memory taken; nothing on a processor."""
        return self._details()

    def _reader(self) -> Callable[[Sequence[int]], np.ndarray]:
        fresh = True

        def read(tokens: Sequence[int]) -> np.ndarray:
            nonlocal fresh
            logits: np.ndarray = self._ranks.call("read", list(tokens), fresh)[0]
            fresh = False
            return logits

        return read


def _described(directory: Path) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((directory / "artefact.json").read_text())
    return described


def load(directory: Path, threads: int, split: Split) -> Classifier | Generating:
    """Return the session of an artefact of the engine `torch`, divided, each rank on so many threads.

    Raises:
        RankError: a rank could not load its part; the message says why.
    """
    generates = _described(directory)["task"] == "text-generation"
    return (Generating if generates else Classifier)(directory, threads, split)
