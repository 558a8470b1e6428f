"""Agreement of a language model: after a build, the likeliest next tokens must still be the checkpoint's.

What a loose group of weights does to a model shows on running text at once: each position is an answer of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tuner.errors import BuildError

_WINDOW = 128  # tokens of each row that are compared: a thousand answers in all take seconds


def texts(check: Path) -> Iterator[np.ndarray]:
    """Yield the real tokens (n,) of each row that is a window of text, without its padding.

    `check` holds `input_ids` and `attention_mask` (rows, longest), and `kind` where some rows are no text (not 0).
    """
    with np.load(check) as arrays:
        ids, mask = arrays["input_ids"], arrays["attention_mask"]
        kinds = arrays["kind"] if "kind" in arrays.files else np.zeros(len(ids), dtype=np.int64)
    for row, real, kind in zip(ids, mask, kinds, strict=True):
        length = min(int(real.sum()), _WINDOW)
        if kind == 0 and length >= 2:
            yield row[:length]


def source_answers(checkpoint: Path, rows: list[np.ndarray]) -> list[np.ndarray]:
    """Return the likeliest token (n - 1,) after each token of each row, by the checkpoint in fp32 PyTorch."""
    import torch

    from tuner.runtime.shaped import load_shaped

    model = load_shaped(checkpoint)
    with torch.inference_mode():
        return [
            model(input_ids=torch.from_numpy(row[None, :-1]), use_cache=False).logits[0].argmax(dim=1).numpy()
            for row in rows
        ]


def check_generating_agreement(
    session: Any, checkpoint: Path, check: Path, rows: int, tolerance: float
) -> dict[str, float]:
    """Compare a session with its source on the first `rows` windows of real text.

    Returns `{"differing": share of positions with another likeliest token, "positions": how many}`.

    Raises:
        BuildError: log-probabilities are not finite, more positions differ than the tolerance says, or no text.
    """
    windows = [row for row, _ in zip(texts(check), range(rows), strict=False)]
    if not windows:
        raise BuildError(f"{check}: no text to compare the artefact with its source on")
    scored = [session.score(row) for row in windows]
    if not all(np.isfinite(logprobs).all() for logprobs, _ in scored):
        raise BuildError("the artefact's outputs are broken: log-probabilities are not finite")
    expected = np.concatenate(source_answers(checkpoint, windows))
    differing = float((np.concatenate([likeliest for _, likeliest in scored]) != expected).mean())
    if differing > tolerance:
        raise BuildError(
            f"the artefact's answers do not agree with the model's: {differing:.0%} of the likeliest next "
            f"tokens differ (at most {tolerance:.0%}), at {len(expected)} positions of real text"
        )
    return {"differing": differing, "positions": float(len(expected))}
