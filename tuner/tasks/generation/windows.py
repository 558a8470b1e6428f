"""Windows: long text in pieces that a model can take: to learn from, and to be judged on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tuner.tasks.generation.rows import Row, padded


def running_text(
    texts: Iterable[Sequence[int]], length: int, most: int, each: int, pad: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return int64 ids and mask (windows, length) of texts one after the other; only the last may be padded.

    Texts follow each other as in pre-training (Brown et al. 2020, "Language Models are Few-Shot Learners", appendix B:
    sequences are always full, documents packed into them behind a delimiter, which is each text's first token here).
    Of each text at most `each` windows' worth is read, and of all of them at most `most` windows.
    """
    stream: list[int] = []
    for text in texts:
        stream += text[: each * length]
        if len(stream) >= most * length:
            break
    pieces = [stream[i : i + length] for i in range(0, min(len(stream), most * length), length)]
    ids, mask = padded(pieces, pad)
    width = ((0, 0), (0, length - ids.shape[1]))  # a single window that is not full
    return np.pad(ids, width, constant_values=pad), np.pad(mask, width)


def sliding(text: Sequence[int], length: int, group: int) -> list[Row]:
    """Return overlapping windows of a text in which each token but the first counts once, with context before it.

    A window begins every `length // 2` tokens, and what counts in it is what no earlier one reached: see "Perplexity
    of fixed-length models" in the documentation of transformers.
    """
    rows: list[Row] = []
    done = 1  # nothing comes before a text's first token, so it cannot be foretold
    for begin in range(0, len(text), length // 2):
        if done >= len(text):
            break
        window = text[begin : begin + length]
        rows.append(Row(window, done - begin, group=group))
        done = begin + len(window)
    return rows
