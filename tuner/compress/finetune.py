"""Fine-tuning: a model whose head is untrained learns the task, once per study."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from tuner.compress.batches import Batch, Split
from tuner.compress.checkpoint import save_checkpoint, shape_attributes
from tuner.compress.training import Plan, train
from tuner.compress.used_rows import used_rows
from tuner.runtime.shaped import load_shaped
from tuner.spec.model import FineTune


def fine_tune(
    checkpoint: str, data_dir: str, settings: dict[str, Any], seed: int, out: str
) -> dict[str, Any]:
    """Train all weights on the train split with cross-entropy and write the checkpoint to `out`.

    `settings` are those of `FineTune`. Returns {"steps", "seconds", "loss"}, the loss of the last steps.
    """
    chosen, source = FineTune.model_validate(settings), Path(checkpoint)
    torch.manual_seed(seed)  # dropout
    model, split = load_shaped(source).train(), Split(Path(data_dir), "train")
    steps = max(1, math.ceil(chosen.epochs * len(split) / chosen.batch_size))

    def loss(batch: Batch) -> torch.Tensor:
        inputs, labels, _ = batch
        return cross_entropy(model(**inputs).logits.float(), labels)

    batches = split.shuffled(chosen.batch_size, seed)
    with used_rows(model, split.inputs["input_ids"]):
        report = train(model, batches, loss, Plan(steps, chosen.learning_rate))
    save_checkpoint(model, source, Path(out), shape_attributes(source))
    return report
