"""Text loss: a loss over the vocabulary at each token, in chunks that a processor's cache holds.

The logits of a thousand tokens over fifty thousand words are 200 MB, and a plain loss passes over them some six
times. Here the gradient of a chunk is taken as soon as its loss is known, and its logits are forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy, linear

Inputs = dict[str, torch.Tensor]
#: Logits fp32 (chunk, vocabulary) and which of the states they belong to → the chunk's loss, a scalar.
ChunkLoss = Callable[[torch.Tensor, slice], torch.Tensor]
_CHUNK = 128  # tokens


def summed_loss(model: nn.Module, inputs: Inputs) -> torch.Tensor:
    """Return the sum of the cross-entropies (nats) of all real next tokens, a scalar."""
    states = model.base_model(**inputs, use_cache=False).last_hidden_state
    return loss_of_states(model, states, inputs)


def loss_of_states(model: nn.Module, states: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    """Return the same from the last states (batch, tokens, hidden), after the last norm."""
    targets = next_tokens(inputs).flatten()

    def loss(logits: torch.Tensor, part: slice) -> torch.Tensor:
        return cross_entropy(logits, targets[part], reduction="sum")

    return chunked(model.get_output_embeddings(), states[:, :-1].flatten(0, 1), loss)


def next_tokens(inputs: Inputs) -> torch.Tensor:
    """Return the token after each but the last (batch, tokens - 1), -100 where that is padding."""
    return inputs["input_ids"][:, 1:].masked_fill(inputs["attention_mask"][:, 1:] == 0, -100)


def chunked(head: nn.Module, states: torch.Tensor, loss: ChunkLoss) -> torch.Tensor:
    """Return the sum of `loss` over chunks of `states` (n, hidden); the head itself gets no gradient."""
    return _Chunked.apply(states, head, loss)


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, head: nn.Module, loss: ChunkLoss) -> torch.Tensor:
        total, gradients, weight = torch.zeros(()), [], _ready(head.weight)
        for start in range(0, len(states), _CHUNK):
            part = slice(start, start + _CHUNK)
            piece = states[part].detach().requires_grad_(ctx.needs_input_grad[0])
            with torch.set_grad_enabled(ctx.needs_input_grad[0]):
                value = loss(linear(piece, weight, head.bias).float(), part)
            total += value.detach()
            if ctx.needs_input_grad[0]:
                gradients += torch.autograd.grad(value, piece)
        ctx.gradient = torch.cat(gradients) if gradients else None
        return total

    @staticmethod
    def backward(ctx: Any, *above: torch.Tensor) -> tuple[torch.Tensor | None, None, None]:
        return ctx.gradient * above[0], None, None


def _ready(weight: torch.Tensor) -> torch.Tensor:
    """Return the weight as autocast would cast it anew for each chunk."""
    weight = weight.detach()
    return weight.to(torch.get_autocast_dtype("cpu")) if torch.is_autocast_enabled("cpu") else weight
