"""Teacher outputs: the likeliest next tokens of a language model on real text, computed once for all students."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import nn

from tuner.compress.batches import Split
from tuner.compress.causal.text_loss import chunked
from tuner.compress.training import mixed_precision
from tuner.runtime.shaped import load_shaped

TOP = 64  # stored next tokens of each position; students learn the mass of all others as one
WINDOWS = 256  # stored at most: 25 MB at 256 tokens, and minutes of the teacher's time on a few cores
_BATCH = 4


def teacher_outputs(
    teacher: str, data_dir: str, temperature: float, windows: int, out: str
) -> dict[str, Any]:
    """Write the teacher's next tokens at each position of evenly spread windows of the split `distill`.

    There are `windows` of them, as many as recovery will see, and at most 256.
    `rows.npy` int64 (windows,): their rows in the split; `tokens.npy` int32 and `logprobs.npy` fp16 (windows,
    tokens, 64): the likeliest tokens, and their log-probabilities at this temperature among the whole vocabulary;
    6 bytes each. Returns {"windows", "bytes": on disk}.
    """
    model, split = load_shaped(Path(teacher)).requires_grad_(False), Split(Path(data_dir), "distill")
    rows = torch.from_numpy(
        np.linspace(0, len(split) - 1, min(windows, WINDOWS, len(split))).round().astype(np.int64)
    )
    shape = (len(rows), split.inputs["input_ids"].shape[1], min(TOP, model.config.vocab_size - 1))
    tokens = open_memmap(Path(out) / "tokens.npy", "w+", np.int32, shape)
    logprobs = open_memmap(Path(out) / "logprobs.npy", "w+", np.float16, shape)
    chosen = split.part(rows)
    with torch.inference_mode(), mixed_precision():
        for inputs, _, numbers in chosen.in_order(_BATCH):
            values, found = _likeliest(model, inputs, temperature, shape[2])
            window = slice(int(numbers[0]), int(numbers[-1]) + 1)
            tokens[window, : found.shape[1]] = found.numpy()
            logprobs[window, : values.shape[1]] = values.numpy()
    np.save(Path(out) / "rows.npy", rows.numpy())
    return {"windows": len(rows), "bytes": int(tokens.nbytes + logprobs.nbytes)}


def _likeliest(
    model: nn.Module, inputs: dict[str, torch.Tensor], temperature: float, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log-probabilities (batch, tokens, count) and the tokens they are of."""
    states = model.base_model(**inputs, use_cache=False).last_hidden_state
    pieces: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(logits: torch.Tensor, _: slice) -> torch.Tensor:
        scaled = logits / temperature
        values, tokens = scaled.topk(count)
        pieces.append((values - scaled.logsumexp(1, keepdim=True), tokens))
        return logits.new_zeros(())

    chunked(model.get_output_embeddings(), states.flatten(0, 1), keep)
    shape = (*states.shape[:2], count)
    values, tokens = (torch.cat(parts).view(shape) for parts in zip(*pieces, strict=True))
    return values, tokens
