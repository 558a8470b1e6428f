"""Answers: the baseline's own answers as rows on which every artefact is scored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuner.tasks.generation.rows import Row, Rows


def asked_rows(prompts: np.ndarray, answers: Sequence[Sequence[int]]) -> Rows:
    """Return a row for each prompt (of `prompts`, int64 (n, tokens)) with its answer; only the answer counts.

    An artefact is given the baseline's own words so far and asked for the next one, so that one different word does
    not make all that follow it different.
    """
    pairs = zip(prompts.tolist(), answers, strict=True)
    return Rows.of([Row([*prompt, *answer], len(prompt)) for prompt, answer in pairs], [], pad=0)
