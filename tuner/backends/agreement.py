"""Agreement: an artefact must still say what its source says, or it is no artefact.

A quantizer can ruin a model without a word: one static quantizer's default op list has turned 95 % accuracy
into 65 %, and an exporter given one example tensor twice has dropped the attention mask.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tuner.errors import BuildError

_SURE = 0.5  # share of the mean gap between a document's two best logits: below it, a label may change hands
_SAME_LABEL = 0.9  # least share of documents with the same label, among those of which the source is sure


def source_logits(checkpoint: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Return the logits (documents, labels) of the checkpoint in fp32 PyTorch."""
    import torch

    from tuner.runtime.shaped import load_shaped

    model = load_shaped(checkpoint)
    rows = len(inputs["input_ids"])
    with torch.inference_mode():
        parts = [
            model(**{k: torch.from_numpy(v[i : i + 16]) for k, v in inputs.items()}).logits
            for i in range(0, rows, 16)
        ]
    return torch.cat(parts).float().numpy()


def relative_error(expected: np.ndarray, found: np.ndarray) -> float:
    """Return ||found - expected|| / ||expected - mean||: the error against how documents differ."""
    spread = np.linalg.norm(expected - expected.mean(axis=0))
    return float(np.linalg.norm(found - expected) / max(float(spread), 1e-9))


def same_label_share(expected: np.ndarray, found: np.ndarray) -> float:
    """Return the share of documents that keep their label, among those of which the source is sure."""
    ordered = np.sort(expected, axis=1)
    gap = ordered[:, -1] - ordered[:, -2]
    sure = gap >= _SURE * gap.mean()
    return float((expected.argmax(axis=1) == found.argmax(axis=1))[sure].mean())


def check_agreement(session: Any, checkpoint: Path, inputs: Path, tolerance: float) -> dict[str, float]:
    """Compare a session with its source on real documents; return the error and the share of equal labels.

    Raises:
        BuildError: outputs are not finite, differ by more than the tolerance, or change labels of which the
            source is sure.
    """
    with np.load(inputs) as arrays:
        given = {name: arrays[name] for name in arrays.files}
    if session.fixed_shape:
        given = {name: array[:, : session.fixed_shape[1]] for name, array in given.items()}
    expected, found = source_logits(checkpoint, given), np.asarray(session.run(given))
    if found.shape != expected.shape or not np.isfinite(found).all():
        raise BuildError(f"the artefact's outputs are broken: shape {found.shape}, or not finite")
    error, share = relative_error(expected, found), same_label_share(expected, found)
    if error > tolerance or share < _SAME_LABEL:
        raise BuildError(
            f"the artefact's outputs do not agree with the model's: relative error {error:.3f} "
            f"(at most {tolerance:g}), {share:.0%} equal labels (at least {_SAME_LABEL:.0%}), "
            f"on {len(found)} documents"
        )
    return {"relative_error": error, "same_label": share}
