"""Scoring and answering: what the serving child asks a language model for, so that its quality can be judged."""

from __future__ import annotations

from typing import Any

import numpy as np


def score(session: Any, inputs: str, out: str) -> None:
    """Write float32 `logprob` and int64 `greedy` (rows, longest - 1) of an encoded split's rows.

    Entry j of a row is about its token j + 1: the logarithm of its probability, and the likeliest token there. What is
    beyond a row's length is zero.
    """
    with np.load(inputs) as arrays:
        ids, mask = arrays["input_ids"], arrays["attention_mask"]
    logprob = np.zeros((len(ids), ids.shape[1] - 1), dtype=np.float32)
    greedy = np.zeros_like(logprob, dtype=np.int64)
    for row, (tokens, length) in enumerate(zip(ids, mask.sum(axis=1), strict=True)):
        found, likeliest = session.score(np.ascontiguousarray(tokens[:length]))
        logprob[row, : length - 1], greedy[row, : length - 1] = found, likeliest
    np.savez(out, logprob=logprob, greedy=greedy)


def answer(session: Any, prompts: str, name: str, most: int, stop: list[int], out: str) -> None:
    """Write the greedy answers to the prompts `name` (n, tokens) of a file: int64 (n, most), -1 after their end."""
    with np.load(prompts) as arrays:
        asked = arrays[name]
    answers = np.full((len(asked), most), -1, dtype=np.int64)
    for row, prompt in enumerate(asked):
        tokens = list(session.stream(prompt.tolist(), most, set(stop)))
        answers[row, : len(tokens)] = tokens
    np.save(out, answers)
