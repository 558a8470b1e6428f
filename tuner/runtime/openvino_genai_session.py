"""Serve a stateful OpenVINO IR with OpenVINO GenAI. Needs numpy, openvino and openvino-genai.

GenAI makes paged attention of the model's own and answers greedily, as many conversations at once as there are. It
shows no logits: scores, and answers whose tokens the caller chooses, come from the same IR, with a cache of the same
precision, in OpenVINO itself. Either is loaded when it is first asked for.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import openvino_genai as genai

from . import openvino_generating_session as plain
from .drafting import DRAFT, Drafts
from .generating import Choose, check_room
from .openvino_genai_batch import Batch

_TOGETHER = 256  # conversations in the pipeline: slots are the batch's to count


class Session:
    """One pipeline, which is made anew when another way to draft is asked for: GenAI drafts by itself."""

    def __init__(self, directory: Path, threads: int) -> None:
        self._directory, self._threads = directory, threads
        self._described = json.loads((directory / "artefact.json").read_text())
        self.context, self.vocabulary = int(self._described["context"]), int(self._described["vocabulary"])
        self.drafts = Drafts()
        self._draft: str | None = None
        self._made: Any = None
        self._heard: list[tuple[Batch, int]] = []  # a stream that nobody may hear any more

    @property
    def draft(self) -> str | None:
        """Say how answers are drafted: None, `lookup` or `student`."""
        return self._draft

    @draft.setter
    def draft(self, way: str | None) -> None:
        if way != self._draft:
            self._draft, self._made, self._heard = way, None, []

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

    def batch(self, slots: int) -> Batch:
        """Return a batch for so many requests at a time."""
        return Batch(self, slots)

    def score(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log-probabilities and likeliest tokens (n - 1,) of tokens (n,) in one pass.

        Raises:
            ValueError: the tokens do not fit.
        """
        return self._plain.score(tokens)

    @property
    def pipeline(self) -> Any:
        """Return GenAI's pipeline for the way to draft that is set."""
        if self._made is None:
            self._made = self._pipeline()
        return self._made

    def apart(self) -> plain.Session:
        """Return a session that answers one request whose tokens are chosen, over one model for all such."""
        return self._plain.twin()

    @cached_property
    def _plain(self) -> plain.Session:
        return plain.Session(self._directory, self._threads)

    def _answered(self, prompt: Sequence[int], most: int, stop: Collection[int]) -> Iterator[int]:
        for batch, number in self._heard:
            batch.drop(number)
        batch = self.batch(1)
        number = batch.add(prompt, most, stop)
        self._heard = [(batch, number)]
        finished = False
        try:
            while not finished:
                for said in batch.step():
                    finished = said.finished
                    if said.token is not None:
                        yield said.token
        finally:
            batch.drop(number)

    def _pipeline(self) -> Any:
        drafting: dict[str, Any] = {}
        if self._draft == "lookup":
            drafting = {"prompt_lookup": True}
        elif self._draft is not None:
            student = self._directory / DRAFT
            described = json.loads((student / "artefact.json").read_text())
            settings = plain.settings(described, self._threads)
            drafting = {"draft_model": genai.draft_model(_folder(student, described), "CPU", **settings)}
        scheduler = genai.SchedulerConfig()
        scheduler.enable_prefix_caching = False  # a prompt asked twice would be measured as one that is short
        scheduler.max_num_seqs = _TOGETHER
        settings = plain.settings(self._described, self._threads)
        model = _folder(self._directory, self._described)
        return genai.ContinuousBatchingPipeline(model, scheduler, "CPU", {**settings, **drafting})


def _folder(artefact: Path, described: dict[str, Any]) -> Path:
    """Return the folder that GenAI loads of an artefact."""
    return (artefact / described["model"]).parent


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
