"""Scale tuning: the scales of rounded matrices, and the norms, make up together for what rounding took of the model.

Chen et al. 2024, "EfficientQAT" (arXiv 2407.11062), section 3.3: the levels stay, the step sizes are trained through
the whole model. Here towards the next tokens of the model before rounding, not towards those of the text: what is
learned back is the model, and the text is not learned. The norms (Li et al. 2023, "Norm Tweaking", arXiv 2309.02784)
are so few that they cost nothing to store in fp32.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.nn.functional import kl_div, linear, log_softmax

from tuner.hardware import this_host

STEPS = 16  # of SmolLM2's rise of 12.3 % in perplexity they leave 4.6; twice as many leave 4.2
_BATCH = 4  # windows
_RATE = 1e-3  # of a scale as a share of what it was, and of a norm's weight
_RISING = 3  # steps
_TOGETHER = 128  # tokens whose logits are held at once: a processor's cache holds no more


def tuned(
    model: nn.Module,
    levels: Mapping[str, torch.Tensor],
    scales: Mapping[str, torch.Tensor],
    windows: torch.Tensor,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return the scales (rows, blocks) of rounded matrices and the norms' weights (width,), tuned, both fp32, by name.

    `model` is the causal model before rounding; `levels` int8 (rows, columns) and `scales` are by the names of its
    matrices; `windows` int64 tokens (windows, tokens) without padding.
    """
    model.requires_grad_(False)
    student = deepcopy(model)
    matrices = dict[str, _Blocks]()
    for name in levels:
        module: Any = student.get_submodule(place := name.removesuffix(".weight"))
        matrices[name] = _Blocks(levels[name], scales[name], module.bias)
        student.set_submodule(place, matrices[name])
    norms = {
        name: one for name, one in student.named_parameters() if one.ndim == 1 and name.endswith("weight")
    }
    learned = [*(one.change for one in matrices.values()), *norms.values()]
    _train(student, model, [one.requires_grad_(True) for one in learned], windows)
    return {n: m.scales().detach() for n, m in matrices.items()}, {
        n: one.detach() for n, one in norms.items()
    }


class _Blocks(nn.Module):
    """A matrix of fixed levels whose scales can change, each by a share of what it was."""

    def __init__(self, levels: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.levels, self.first, self.bias = levels.unflatten(1, (scales.shape[1], -1)), scales.float(), bias
        self.change = nn.Parameter(torch.zeros_like(self.first))

    def scales(self) -> torch.Tensor:
        return self.first * (1 + self.change)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return linear(inputs, (self.levels * self.scales()[..., None]).flatten(1), self.bias)


def _train(
    student: nn.Module, teacher: nn.Module, learned: list[nn.Parameter], windows: torch.Tensor
) -> None:
    optimizer = torch.optim.AdamW(learned, lr=_RATE, weight_decay=0.0)
    for step in range(STEPS):
        rows = torch.arange(step * _BATCH, (step + 1) * _BATCH) % len(windows)
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1 - step / STEPS, (step + 1) / _RISING)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=this_host().multiplies_bf16):
            _backward(student, teacher, windows[rows])
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()


def _backward(student: nn.Module, teacher: nn.Module, tokens: torch.Tensor) -> None:
    """Add the gradient of KL(teacher || student), the mean over all tokens; logits are made for a few at a time."""
    states = student.base_model(input_ids=tokens, use_cache=False).last_hidden_state
    with torch.no_grad():
        exact = teacher.base_model(input_ids=tokens, use_cache=False).last_hidden_state
    cut = states.detach().flatten(0, 1).requires_grad_(True)
    for ours, theirs in zip(cut.split(_TOGETHER), exact.flatten(0, 1).split(_TOGETHER), strict=True):
        with torch.no_grad():
            wanted = log_softmax(teacher.get_output_embeddings()(theirs).float(), -1)
        found = log_softmax(student.get_output_embeddings()(ours).float(), -1)
        (kl_div(found, wanted, reduction="sum", log_target=True) / len(cut)).backward()
    states.backward(cut.grad.view_as(states))
