"""Recovery: a shaped language model learns back from its teacher what it lost.

First the layers beside each cut, from the teacher's hidden states (`bridge.py`), at a fraction of what a step through
the whole student takes. Then all layers, from the teacher's next tokens.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tuner.compress.batches import Batch, Split
from tuner.compress.causal.bridge import bridge, cuts
from tuner.compress.causal.text_loss import chunked
from tuner.compress.checkpoint import save_checkpoint
from tuner.compress.training import Plan, train
from tuner.runtime.shaped import load_shaped
from tuner.spec.model import Recover

_STEPS, _BATCHES = (
    8,
    2,
)  # to bridge a cut: so many steps for one of the whole student, of so small a part of its batch
_SHARE = 0.7  # of the time, for all cuts together
_RATE = 1e-3
_MOMENT = 0.1  # seconds that the whole student gets in any case
_LEAST = 1e-6  # of the mass outside the stored tokens: fp16 rounds it, and its logarithm must stay finite


def recover(
    shaped: str,
    teacher: str,
    layers: Sequence[int],
    teacher_outputs: str,
    data_dir: str,
    settings: dict[str, Any],
    seed: int,
    out: str,
) -> dict[str, Any]:
    """Distil the teacher's hidden states and its stored next tokens into the student; write its checkpoint to `out`.

    `layers` are the numbers that the student's layers have in the teacher. `settings` are those of `Recover`; its
    temperature must be that of the stored outputs. The embedding and the output matrix stay the teacher's: most of a
    small model's weights, which pruning did not touch. Returns {"steps", "seconds", "loss", "bridged"}: the loss of the
    last steps (nats, times the temperature's square), and steps, seconds and loss of each cut.
    """
    chosen, source, stored = Recover.model_validate(settings), Path(shaped), Path(teacher_outputs)
    torch.manual_seed(seed)
    model, begin = load_shaped(source), time.monotonic()
    for words in (model.get_input_embeddings(), model.get_output_embeddings()):
        words.requires_grad_(False)
    split = Split(Path(data_dir), "distill").part(torch.from_numpy(np.load(stored / "rows.npy")))
    bridged = _bridged(model, Path(teacher), layers, split, chosen, seed)
    left = None if chosen.seconds is None else max(chosen.seconds - (time.monotonic() - begin), _MOMENT)
    loss = Distillation(model, stored, chosen.temperature)
    batches = split.shuffled(chosen.batch_size, seed)
    # Deeper students take smaller steps, as classifiers do.
    rate = chosen.learning_rate / max(1, model.config.num_hidden_layers)
    report = train(model, batches, loss, Plan(chosen.steps, rate, left))
    save_checkpoint(model, source, Path(out))
    return {**report, "bridged": bridged}


def _bridged(
    student: nn.Module, teacher: Path, layers: Sequence[int], split: Split, chosen: Recover, seed: int
) -> list[dict[str, Any]]:
    """Bridge the student's cuts in a share of the time; nothing where it has all layers."""
    if not (parts := cuts(layers)):
        return []
    seconds = None if chosen.seconds is None else _SHARE * chosen.seconds / len(parts)
    plan = Plan(_STEPS * chosen.steps, _RATE, seconds, weight_decay=0.0)
    whole = load_shaped(teacher).requires_grad_(False)
    return bridge(student, whole, layers, split, max(chosen.batch_size // _BATCHES, 1), plan, seed)


class Distillation:
    """The loss of a student on windows of text: T²·KL(teacher || student), the mean over all real tokens.

    Both distributions are taken over the stored tokens and one outcome more, any other token. Logits alone, no
    labels and no hidden states: as Minitron found best (Muralidharan et al. 2024, arXiv 2407.14679, section 4.3).
    """

    def __init__(self, student: nn.Module, teacher_outputs: Path, temperature: float) -> None:
        self.student, self.temperature = student, temperature
        self.tokens = np.load(teacher_outputs / "tokens.npy", mmap_mode="r")
        self.logprobs = np.load(teacher_outputs / "logprobs.npy", mmap_mode="r")

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return the loss, a scalar."""
        inputs, _, rows = batch
        real = inputs["attention_mask"].bool()
        states = self.student.base_model(**inputs, use_cache=False).last_hidden_state[real]
        tokens = torch.from_numpy(self.tokens[rows.numpy(), : real.shape[1]])[real].long()
        teacher = torch.from_numpy(self.logprobs[rows.numpy(), : real.shape[1]])[real].float()

        def loss(logits: torch.Tensor, part: slice) -> torch.Tensor:
            return _divergence(logits / self.temperature, tokens[part], teacher[part])

        total = chunked(self.student.get_output_embeddings(), states, loss)
        return total * self.temperature**2 / len(states)


def _divergence(logits: torch.Tensor, tokens: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return KL(teacher || student), summed over the rows of `logits` (n, vocabulary).

    `teacher` are the log-probabilities (n, stored) of `tokens` (n, stored).
    """
    student = logits.gather(1, tokens) - logits.logsumexp(1, keepdim=True)
    mass = teacher.exp()
    ours, theirs = (1 - mass.sum(1)).clamp(_LEAST), (1 - student.exp().sum(1)).clamp(_LEAST)
    return (mass * (teacher - student)).sum() + (ours * (ours.log() - theirs.log())).sum()
