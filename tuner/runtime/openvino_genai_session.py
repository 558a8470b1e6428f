"""Serve a stateful OpenVINO IR with OpenVINO GenAI. Needs numpy, openvino and openvino-genai.

GenAI makes paged attention of the model's own and answers greedily, as many conversations at once as there are
(continuous batching). It shows no logits: scores, and answers whose tokens the caller chooses, come from the same IR,
with a cache of the same precision, in OpenVINO itself. Either is loaded when it is first asked for.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino_genai as genai

from . import openvino_generating_session as plain
from .generating import Choose, check_room
from .lookup import Drafts

_DRAFTED = 4  # tokens at most, of either draft
_LONGEST = 3  # tokens that prompt lookup wants repeated, at most
_TOGETHER = 64  # conversations


class Session:
    """One pipeline, which is made anew when another way to draft is asked for.

    `draft` may be `lookup`, or the name of a smaller model of the same tokens that the artefact brings.
    """

    def __init__(self, directory: Path, threads: int) -> None:
        self._directory, self._threads = directory, threads
        self._described = json.loads((directory / "artefact.json").read_text())
        self.context, self.vocabulary = int(self._described["context"]), int(self._described["vocabulary"])
        self.drafts = Drafts()
        self._draft: str | None = None
        self._made: Any = None
        self._asked: list[_Answer] = []  # what the pipeline may still be busy with

    @property
    def draft(self) -> str | None:
        """Say how answers are drafted; None: not at all."""
        return self._draft

    @draft.setter
    def draft(self, wanted: str | None) -> None:
        if wanted != self._draft:
            self._draft, self._made, self._asked = wanted, None, []

    def stream(
        self, prompt: Sequence[int], most: int, stop: Collection[int] = (), choose: Choose | None = None
    ) -> Iterator[int]:
        """Yield the next tokens (see `GeneratingSession`).

        Raises:
            ValueError: the prompt does not fit.
        """
        check_room(prompt, most, self.context, self.vocabulary)
        if choose is not None:
            return self._plain.stream(prompt, most, stop, choose)
        return self._answered(prompt, most, stop)

    def stream_together(self, prompts: Sequence[Sequence[int]], most: int) -> Iterator[tuple[int, int]]:
        """Yield (which prompt, token) of greedy answers that are made together: the weights are read once for all.

        Raises:
            ValueError: a prompt does not fit, or there are more than 64.
        """
        if len(prompts) > _TOGETHER:
            raise ValueError(f"{len(prompts)} prompts: at most {_TOGETHER} are answered together")
        for prompt in prompts:
            check_room(prompt, most, self.context, self.vocabulary)
        return self._answered_together(prompts, most)

    def score(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log-probabilities and likeliest tokens (n - 1,) of tokens (n,) in one pass.

        Raises:
            ValueError: the tokens do not fit.
        """
        return self._plain.score(tokens)

    @cached_property
    def _plain(self) -> plain.Session:
        return plain.Session(self._directory, self._threads)

    def _answered(self, prompt: Sequence[int], most: int, stop: Collection[int]) -> Iterator[int]:
        for _, token in self._answered_together([prompt], most):
            if token in stop:
                return
            yield token

    def _answered_together(self, prompts: Sequence[Sequence[int]], most: int) -> Iterator[tuple[int, int]]:
        answers = self._begin(prompts, most)
        try:
            while left := [answer for answer in answers if answer.left]:
                self._made.step()
                for answer in left:
                    for token in self._counted(answer):
                        yield answer.number, token
        finally:
            self._end(answers)

    def _begin(self, prompts: Sequence[Sequence[int]], most: int) -> list[_Answer]:
        """Put the questions to the pipeline; whatever nobody heard to its end is over."""
        self._end(self._asked)
        self._made = self._made or self._pipeline()
        # Where an answer ends is the caller's to say; the token that is ignored must be one all the same.
        wanted = genai.GenerationConfig(max_new_tokens=most, ignore_eos=True, eos_token_id=0, do_sample=False)
        if self._draft:
            wanted.num_assistant_tokens = _DRAFTED
        if self._draft == "lookup":
            wanted.max_ngram_size = _LONGEST
        self._asked = [_Answer(self._made, i, prompt, wanted) for i, prompt in enumerate(prompts)]
        return self._asked

    def _end(self, answers: Sequence[_Answer]) -> None:
        """Have no more of the answers made, and their places in the cache freed, which takes one more step."""
        if [answer for answer in answers if answer.stop()]:
            self._made.step()

    def _counted(self, answer: _Answer) -> list[int]:
        """Return an answer's next tokens; all but one were drafted, if any were."""
        drafted = answer.drafted(self._draft)
        tokens = answer.read()
        self.drafts.drafted += drafted
        self.drafts.accepted += len(tokens) - 1 if self._draft else 0
        return tokens

    def _pipeline(self) -> Any:
        settings = plain.settings(self._described, self._threads)
        model = (self._directory / self._described["model"]).parent
        drafting: dict[str, Any] = {}
        if self._draft == "lookup":
            drafting = {"prompt_lookup": True}
        elif self._draft is not None:
            drafting = {"draft_model": genai.draft_model(model / self._draft, "CPU", **settings)}
        scheduler = genai.SchedulerConfig()
        scheduler.enable_prefix_caching = False  # a prompt asked twice would be measured as one that is short
        scheduler.max_num_seqs = _TOGETHER
        return genai.ContinuousBatchingPipeline(model, scheduler, "CPU", {**settings, **drafting})


class _Answer:
    """One question in the pipeline, and what was heard of the answer."""

    def __init__(self, pipeline: Any, number: int, prompt: Sequence[int], wanted: Any) -> None:
        self.number, self.left = number, int(wanted.max_new_tokens)
        self._known, self._first = list(prompt), True
        given = ov.Tensor(np.array(prompt, dtype=np.int64)[None])
        self._handle = pipeline.add_request(number, given, wanted)

    def read(self) -> list[int]:
        """Return the tokens of the last step.

        Raises:
            RuntimeError: there are none: the pipeline gave the answer up, for want of memory.
        """
        tokens: list[int] = []
        while self._handle.can_read():
            tokens += next(iter(self._handle.read().values())).generated_ids
        if not tokens and self._handle.get_status() != genai.GenerationStatus.RUNNING:
            raise RuntimeError(f"OpenVINO GenAI gave an answer up: {self._handle.get_status().name}")
        self._known += tokens
        self.left -= len(tokens)
        self._first = self._first and not tokens
        return tokens

    def drafted(self, way: str | None) -> int:
        """Return how many tokens the next step checks; the first one only reads the prompt."""
        room = min(_DRAFTED, self.left - 1)
        if way is None or self._first or room < 1:
            return 0
        return len(_looked_up(self._known, room)) if way == "lookup" else room

    def stop(self) -> bool:
        """Have no more of it made; say if any was still to come."""
        running = self._handle.get_status() == genai.GenerationStatus.RUNNING
        if running:
            self._handle.stop()
        return running


def _looked_up(known: list[int], most: int) -> list[int]:
    """Return what GenAI's prompt lookup drafts, which it does not say: what followed the last tokens the first time."""
    for length in range(min(_LONGEST, len(known) // 2), 0, -1):
        for start in range(len(known) - length):
            if known[start : start + length] == known[-length:]:
                return known[start + length : start + length + most]
    return []


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
