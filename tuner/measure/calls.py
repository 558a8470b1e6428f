"""Calls: what a serving child does over and over: a classifier answers documents, a language model prompts.

Imported by the serving child, so nothing but numpy and the artefact's own engine is loaded.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from tuner.runtime.generating import Batch

Arrays = dict[str, np.ndarray]


class Calls(Protocol):
    """A plan's calls, for one session."""

    def __len__(self) -> int:
        """Return the number of differing calls."""
        ...

    def one(self, index: int) -> dict[str, Any]:
        """Make a call; `ms` is what it took, `answers` how many requests were answered, beside more of its kind."""
        ...

    def details(self) -> dict[str, Any]:
        """Return what the device says of itself and of such calls, nothing if the session does not tell."""
        ...


class Answers:
    """A classifier's calls: `NAME.INDEX` arrays (batch, sequence)."""

    def __init__(self, session: Any, arrays: Arrays) -> None:
        indices = sorted({int(name.partition(".")[2]) for name in arrays})
        names = {name.partition(".")[0] for name in arrays}
        self._session = session
        self._calls = [{name: arrays[f"{name}.{i}"] for name in names} for i in indices]
        if hasattr(session, "prepare"):  # it compiles for each shape: before anything is timed
            for call in self._calls:
                session.prepare(call)

    def __len__(self) -> int:
        return len(self._calls)

    def one(self, index: int) -> dict[str, Any]:
        """Answer one batch."""
        inputs = self._calls[index]
        begin = time.perf_counter()
        self._session.run(inputs)
        return {"ms": (time.perf_counter() - begin) * 1e3, "answers": 1}

    def together(self, indices: Sequence[int]) -> None:
        """Answer the requests of several calls in one, each padded to the longest of them."""
        asked = [self._calls[index] for index in indices]
        longest = max(call["input_ids"].shape[1] for call in asked)
        self._session.run(
            {name: np.concatenate([_wide(c[name], longest) for c in asked]) for name in asked[0]}
        )

    def details(self) -> dict[str, Any]:
        """Return what the session says of the first call (see `Placed.details`)."""
        return self._session.details(self._calls[0]) if hasattr(self._session, "details") else {}


def _wide(array: np.ndarray, length: int) -> np.ndarray:
    """Return the array (batch, sequence) with zeros up to a length: pads, which the mask hides."""
    return np.pad(array, ((0, 0), (0, length - array.shape[1])))


class Responses:
    """A language model's calls: `prompts` (n, tokens), each answered with `new_tokens`, greedily.

    Of several clients that share this session each waits for those before it: with all of them asking again as soon as
    they are answered, a client's response takes as long as one answer to each of them. So one call is an answer to
    each client, and its first token comes after the others' answers. With several `slots` so many clients are answered
    together, and whoever waits joins them as soon as one is done.
    """

    def __init__(self, session: Any, arrays: Arrays, clients: int = 1, slots: int = 1) -> None:
        self._session, self._prompts = session, arrays["prompts"]
        self._most, self._clients, self._slots = int(arrays["new_tokens"]), clients, slots
        self._batch: Batch | None = session.batch(slots) if slots > 1 else None

    def __len__(self) -> int:
        return len(self._prompts)

    def one(self, index: int) -> dict[str, Any]:
        """Answer all clients; `ttft` and the inter-token times `itl` in ms are the last client's."""
        prompts = [self._prompts[(index + i) % len(self)].tolist() for i in range(self._clients)]
        before = self._drafts()
        begin = time.perf_counter()
        if self._batch is not None:
            moments = self._together(self._batch, prompts)
        else:
            for prompt in prompts:
                moments = self._stream(prompt)
        intervals = [(b - a) * 1e3 for a, b in pairwise(moments)]
        return {
            "ms": (time.perf_counter() - begin) * 1e3,
            "answers": self._clients,
            "ttft": (moments[0] - begin) * 1e3,
            "itl": [round(interval, 4) for interval in intervals],
            **{name: count - before[name] for name, count in self._drafts().items()},
        }

    def _drafts(self) -> dict[str, int]:
        """Return how many tokens the session drafted, and how many of them were right, where it drafts."""
        if getattr(self._session, "draft", None) is None:
            return {}
        return dict(vars(self._session.drafts))

    def details(self) -> dict[str, Any]:
        """Return what the session says of its device."""
        return self._session.details() if hasattr(self._session, "details") else {}

    def _stream(self, prompt: list[int]) -> list[float]:
        moments = [time.perf_counter() for _ in self._session.stream(prompt, self._most)]
        if len(moments) != self._most:
            raise RuntimeError(f"{len(moments)} tokens instead of {self._most}")
        return moments

    def _together(self, batch: Batch, prompts: list[list[int]]) -> list[float]:
        """Return when each token of the client that was answered last came."""
        found, waiting = dict[int, list[float]](), deque(prompts)
        left = 0  # requests in the batch
        while waiting or left:
            while waiting and left < self._slots:
                found[batch.add(waiting.popleft(), self._most)] = []
                left += 1
            for said in batch.step():
                found[said.number].append(time.perf_counter())
                left -= said.finished
        if any(len(moments) != self._most for moments in found.values()):
            raise RuntimeError(f"{[len(m) for m in found.values()]} tokens instead of {self._most} each")
        return max(found.values(), key=lambda moments: moments[-1])


def calls_of(session: Any, arrays: Arrays, clients: int, slots: int = 1) -> Calls:
    """Return the calls that a plan's file stands for."""
    return Responses(session, arrays, clients, slots) if "prompts" in arrays else Answers(session, arrays)
