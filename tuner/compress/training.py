"""Training: one loop for fine-tuning and recovery, ended by steps or by time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from tuner.hardware import this_host

WARM_UP = 0.06  # share of the run over which the rate rises: BERT's tenth, shortened for short runs
_LAST = 20  # steps that the reported loss is the mean of


T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """When training ends (`steps`, or `seconds` where given, whichever is first) and how fast it learns."""

    steps: int
    learning_rate: float
    seconds: float | None = None
    weight_decay: float = 0.01


def train(
    model: nn.Module,
    batches: Iterator[T],
    loss: Callable[[T], torch.Tensor],
    plan: Plan,
    after: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Minimise `loss(batch)` with AdamW (Loshchilov & Hutter, arXiv 1711.05101); return steps, seconds, loss.

    The rate falls linearly to zero over the larger of the shares of steps and of time used up, so that a run
    that the clock ends has annealed as well as one that reaches its steps. `loss` in the answer is the mean
    of the last 20 steps. `after` is called after each step: it makes hold again what must hold of the weights.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
    )
    begin, losses = time.monotonic(), []
    for step in range(plan.steps):
        done = _progress(plan, step, time.monotonic() - begin)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * min(1 - done, (done + 1 / plan.steps) / WARM_UP)
        losses.append(_step(model, optimizer, loss, next(batches)))
        if after is not None:
            after()
    mean = sum(losses[-_LAST:]) / max(1, len(losses[-_LAST:]))
    return {"steps": len(losses), "seconds": time.monotonic() - begin, "loss": mean}


def _progress(plan: Plan, step: int, elapsed: float) -> float:
    return max(step / plan.steps, elapsed / plan.seconds if plan.seconds else 0.0)


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[T], torch.Tensor], batch: T
) -> float:
    optimizer.zero_grad(set_to_none=True)
    with mixed_precision():
        value = loss(batch)
    value.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return float(value.detach())


def mixed_precision() -> torch.autocast:
    """Return bf16 autocast where the processor multiplies bf16 itself."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=this_host().multiplies_bf16)
