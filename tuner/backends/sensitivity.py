"""Sensitivity: by how much the rounding of each matrix raises a language model's loss.

Second order, with the empirical Fisher information in the place of the Hessian (as in Kim et al. 2023, "SqueezeLLM",
arXiv 2306.07629, section 4.1, there by weight): a matrix whose outputs are off by e, where the loss has the gradient g
by them, costs about (g e)^2 / 2 a token. What a matrix loses of its own outputs says less: the model may not need them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_BATCH = 2
#: By what a matrix (rows, columns) is off; made anew at each call, for all at once would be a second model.
Off = Callable[[], torch.Tensor]


def loss_rises(model: nn.Module, off: Mapping[str, Off], windows: torch.Tensor) -> dict[str, float]:
    """Return the expected rise of the loss, in nats a token, by the name of each matrix's module.

    `windows` are int64 tokens (windows, tokens) without padding; `model` is the causal model before any rounding.
    """
    squares = dict.fromkeys(off, 0.0)
    model.requires_grad_(False)
    with _noted(model, off, squares):
        for batch in windows.split(_BATCH):
            _loss(model, batch).backward()
    tokens = windows[:, 1:].numel()
    return {name: total / 2 / tokens for name, total in squares.items()}


def _loss(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    embedded = model.get_input_embeddings()(batch).requires_grad_(True)
    logits = model(inputs_embeds=embedded, use_cache=False).logits[:, :-1]
    return nn.functional.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten(), reduction="sum")


@contextmanager
def _noted(model: nn.Module, off: Mapping[str, Off], squares: dict[str, float]) -> Iterator[None]:
    """Add up (g e)^2 over the tokens of every backward pass within."""

    def watch(name: str) -> Callable[..., None]:
        def forward(_: nn.Module, given: tuple[Any, ...], output: torch.Tensor) -> None:
            read = given[0].detach()

            def backward(gradient: torch.Tensor) -> None:
                missed = nn.functional.linear(read, off[name]())
                squares[name] += float(((missed * gradient).sum(-1) ** 2).sum())

            output.register_hook(backward)

        return forward

    hooks = [model.get_submodule(name).register_forward_hook(watch(name)) for name in off]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
