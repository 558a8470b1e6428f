"""Teacher outputs: what students learn from, computed once for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import nn

from tuner.compress.batches import Split
from tuner.compress.training import mixed_precision
from tuner.runtime.shaped import load_shaped

_BATCH = 32
HIDDEN_LIMIT = 4 * 2**30  # bytes on disk; above it students learn from logits and labels only


def teacher_outputs(teacher: str, data_dir: str, out: str) -> dict[str, Any]:
    """Write the teacher's answers to the split `distill` (train, in windows), row for row.

    `logits.npy` fp32 (documents, labels), and `hidden.npy` fp16 (documents, tokens, hidden): the last layer's
    states, zero at padding, left out where they would take more than 4 GB. Returns {"documents", "hidden":
    stored or not, "accuracy": on that split}.
    """
    model, split = load_shaped(Path(teacher)), Split(Path(data_dir), "distill")
    shape = (*split.inputs["input_ids"].shape, model.config.hidden_size)
    stored = model.base_model is not model and int(np.prod(shape)) * 2 <= HIDDEN_LIMIT
    states = open_memmap(Path(out) / "hidden.npy", "w+", np.float16, shape) if stored else None
    logits = _run(model, split, states)
    np.save(Path(out) / "logits.npy", logits.numpy())
    right = (logits.argmax(1) == split.labels).double().mean()
    return {"documents": len(split), "hidden": stored, "accuracy": float(right)}


def _run(model: nn.Module, split: Split, states: np.ndarray | None) -> torch.Tensor:
    """Return the logits (documents, labels); write the hidden states into `states`."""
    seen, logits = LastHidden(model), []
    with torch.inference_mode(), mixed_precision():
        for inputs, _, rows in split.in_order(_BATCH):
            logits.append(model(**inputs).logits.float())
            if states is not None:
                real = seen.value * inputs["attention_mask"].unsqueeze(-1)
                states[rows[0] : rows[-1] + 1, : real.shape[1]] = real.clamp(-6e4, 6e4).half().numpy()
    return torch.cat(logits)


class LastHidden:
    """After each call of the model, `value` is the base model's last hidden state (batch, tokens, hidden)."""

    def __init__(self, model: nn.Module) -> None:
        self.value = torch.empty(0)
        model.base_model.register_forward_hook(self._see)

    def _see(self, _: nn.Module, __: Any, output: Any) -> None:
        self.value = output[0]
