"""Recovery: a shaped student learns back from its teacher what it lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from tuner.compress.anatomy import anatomy
from tuner.compress.batches import Batch, Split
from tuner.compress.checkpoint import save_checkpoint, shape_attributes
from tuner.compress.semi_structured import held
from tuner.compress.teacher_outputs import LastHidden
from tuner.compress.training import Plan, train
from tuner.compress.used_rows import used_rows
from tuner.runtime.shaped import is_semi_structured, load_shaped
from tuner.spec.model import Recover


def recover(
    shaped: str, teacher_outputs: str, data_dir: str, settings: dict[str, Any], seed: int, out: str
) -> dict[str, Any]:
    """Distil the teacher's stored answers into the student and write its checkpoint to `out`.

    `settings` are those of `Recover`. Returns {"steps", "seconds", "loss"}, the loss of the last steps.
    """
    chosen, source = Recover.model_validate(settings), Path(shaped)
    torch.manual_seed(seed)
    # In evaluation mode: a smaller model on few steps underfits, and dropout would only slow it down.
    model, split = load_shaped(source), Split(Path(data_dir), "distill")
    loss = Distillation(model, Path(teacher_outputs), chosen.temperature)
    batches = split.shuffled(chosen.batch_size, seed)
    # Deeper students take smaller steps: one rate that suits a single layer throws six layers off.
    rate = chosen.learning_rate / max(1, model.config.num_hidden_layers)
    sparse = is_semi_structured(source)
    after = held(model, anatomy(model.config)) if sparse else None
    with used_rows(model, split.inputs["input_ids"]):
        report = train(model, batches, loss, Plan(chosen.steps, rate, chosen.seconds), after)
    save_checkpoint(model, source, Path(out), shape_attributes(source), sparse)
    return report


class Distillation:
    """The loss of a student on a batch: soft targets, last hidden states, and labels, added up.

    T²·KL(teacher || student) at temperature T (Hinton et al. 2015, arXiv 1503.02531, section 2), the mean
    squared error of the last hidden states at real tokens (TinyBERT, Jiao et al. 2020, arXiv 1909.10351,
    section 3.1), and cross-entropy with the labels; the sum is DistilBERT's (Sanh et al. 2019, arXiv
    1910.01108, section 2).
    """

    def __init__(self, student: nn.Module, teacher_outputs: Path, temperature: float) -> None:
        self.student, self.temperature = student, temperature
        self.logits = torch.from_numpy(np.load(teacher_outputs / "logits.npy"))
        states = teacher_outputs / "hidden.npy"
        self.states = np.load(states, mmap_mode="r") if states.exists() else None
        self._last = LastHidden(student)

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return the loss, a scalar."""
        inputs, labels, rows = batch
        logits = self.student(**inputs).logits.float()
        loss = self._soft(logits, self.logits[rows]) + cross_entropy(logits, labels)
        if self.states is not None:
            loss = loss + self._hidden(self._last.value.float(), inputs["attention_mask"], rows)
        return loss

    def _soft(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        t = self.temperature
        return t * t * kl_div(log_softmax(student / t, -1), softmax(teacher / t, -1), reduction="batchmean")

    def _hidden(self, student: torch.Tensor, mask: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        assert self.states is not None
        teacher = torch.from_numpy(self.states[rows.numpy()][:, : mask.shape[1]]).float()
        errors = (student - teacher).square().mean(-1)
        return (errors * mask).sum() / mask.sum()
