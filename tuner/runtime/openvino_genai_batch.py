"""Continuous batching by OpenVINO GenAI: its pipeline takes requests in between any two steps.

It answers greedily and shows no logits. A request whose tokens the caller chooses is answered beside it, by a session
of OpenVINO's own, one token for each step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import openvino as ov
import openvino_genai as genai

from .drafting import Drafts
from .generating import AnsweringSession, Choose, Said, check_room

DRAFTED = 4  # tokens at most, of either draft
_LONGEST = 3  # tokens that prompt lookup wants repeated, at most


class Served(Protocol):
    """What a batch needs of its session."""

    context: int
    vocabulary: int
    draft: str | None
    drafts: Drafts

    @property
    def pipeline(self) -> Any:
        """Return GenAI's pipeline."""
        ...

    def apart(self) -> AnsweringSession:
        """Return what answers one request whose tokens are chosen."""
        ...


class Batch:
    """See `generating.Batch`."""

    def __init__(self, session: Served, slots: int) -> None:
        self._session, self._slots = session, slots
        self._requests: dict[int, _Answer | _Chosen] = {}
        self._next = 0

    def add(
        self, prompt: Sequence[int], most: int, stop: Collection[int] = (), choose: Choose | None = None
    ) -> int:
        """Take in a request and return its number.

        Raises:
            ValueError: the prompt does not fit, or all slots are taken.
        """
        check_room(prompt, most, self._session.context, self._session.vocabulary)
        if len(self._requests) >= self._slots:
            raise ValueError(f"all {self._slots} slots are taken")
        self._next += 1
        if choose is None:
            self._requests[self._next] = _Answer(self._session, self._next, prompt, most, stop)
        else:
            stream = self._session.apart().stream(prompt, most, stop, choose)
            self._requests[self._next] = _Chosen(self._next, stream, most)
        return self._next

    def step(self) -> list[Said]:
        """Compute once for all requests, and return what was said; with drafts that may be several tokens of each.

        Raises:
            RuntimeError: GenAI failed; the batch is empty.
        """
        try:
            if any(isinstance(request, _Answer) for request in self._requests.values()):
                self._session.pipeline.step()
            found = [said for request in list(self._requests.values()) for said in request.said()]
        except RuntimeError:
            for number in list(self._requests):
                self.drop(number)
            raise
        for said in found:
            if said.finished:
                self.drop(said.number)
        return found

    def drop(self, number: int) -> None:
        """Take out a request; one that has left already is let be."""
        request = self._requests.pop(number, None)
        if isinstance(request, _Answer) and request.stop() and not self._requests:
            self._session.pipeline.step()  # frees its part of the cache; else the next step of the others does


class _Chosen:
    """A request whose tokens the caller chooses."""

    def __init__(self, number: int, stream: Iterator[int], most: int) -> None:
        self._number, self._stream, self._left = number, stream, most

    def said(self) -> list[Said]:
        """Return its next token."""
        try:
            token = next(self._stream, None)
        except Exception as error:  # of whoever chooses: nobody else's concern
            return [Said(self._number, None, True, error)]
        self._left -= 1
        return [Said(self._number, token, token is None or not self._left)]


class _Answer:
    """A request in the pipeline, and what was heard of the answer."""

    def __init__(
        self, session: Served, number: int, prompt: Sequence[int], most: int, stop: Collection[int]
    ) -> None:
        self._session, self._number, self._left, self._stop = session, number, most, stop
        self._known, self._first = list(prompt), True
        given = ov.Tensor(np.array(prompt, dtype=np.int64)[None])
        self._handle = session.pipeline.add_request(number, given, wanted(most, session.draft))

    def said(self) -> list[Said]:
        """Return what the last step brought.

        Raises:
            RuntimeError: the pipeline gave the answer up, for want of memory.
        """
        drafted, tokens = self.drafted(), self._read()
        self._count(drafted, tokens)
        found = list[Said]()
        for token in tokens:
            if token in self._stop:
                return [*found, Said(self._number, None, True)]
            self._left -= 1
            found.append(Said(self._number, token, not self._left))
        return found

    def stop(self) -> bool:
        """Have no more of it made; say if any was still to come."""
        running = self._handle.get_status() == genai.GenerationStatus.RUNNING
        if running:
            self._handle.stop()
        return running

    def drafted(self) -> int:
        """Return how many tokens the next step checks; the first ones only read the prompt."""
        room = min(DRAFTED, self._left - 1)
        if self._session.draft is None or self._first or room < 1:
            return 0
        return len(looked_up(self._known, room)) if self._session.draft == "lookup" else room

    def _read(self) -> list[int]:
        tokens: list[int] = []
        while self._handle.can_read():
            tokens += next(iter(self._handle.read().values())).generated_ids
        if not tokens and self._handle.get_status() != genai.GenerationStatus.RUNNING:
            raise RuntimeError(f"OpenVINO GenAI gave an answer up: {self._handle.get_status().name}")
        return tokens

    def _count(self, drafted: int, tokens: list[int]) -> None:
        """Count drafts, of which all but the last token of a step were right ones."""
        self._known += tokens
        self._first = self._first and not tokens
        self._session.drafts.drafted += drafted
        self._session.drafts.accepted += len(tokens) - 1 if drafted else 0


def wanted(most: int, draft: str | None) -> Any:
    """Return GenAI's settings of a greedy answer of so many tokens."""
    # Where an answer ends is the caller's to say; the token that is ignored must be one all the same.
    found = genai.GenerationConfig(max_new_tokens=most, ignore_eos=True, eos_token_id=0, do_sample=False)
    if draft:
        found.num_assistant_tokens = DRAFTED
    if draft == "lookup":
        found.max_ngram_size = _LONGEST
    return found


def looked_up(known: list[int], most: int) -> list[int]:
    """Return what GenAI's prompt lookup drafts, which it does not say: what followed the last tokens the first time."""
    for length in range(min(_LONGEST, len(known) // 2), 0, -1):
        for start in range(len(known) - length):
            if known[start : start + length] == known[-length:]:
                return known[start + length : start + length + most]
    return []
