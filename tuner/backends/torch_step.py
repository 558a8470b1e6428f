"""One token of a language model as a program: a static KV cache goes in, and is written in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

_LENGTH = 32  # tokens of the cache that is traced with


class Step(nn.Module):
    """The model as a function of one token, its place and a cache whose later places are not looked at yet."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, token: torch.Tensor, place: torch.Tensor, cache: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Return logits (vocabulary,) after a token (1, 1) at its place (1,).

        `cache` holds keys and values of each layer in turn (1, groups, room, width); the token's own are written.
        """
        seen = torch.arange(cache[0].shape[2], device=token.device) <= place
        hidden = torch.finfo(cache[0].dtype).min
        mask = torch.where(seen, 0.0, hidden).to(cache[0].dtype)
        found = self.model.model(
            input_ids=token,
            attention_mask=mask[None, None, None],
            position_ids=place[None],
            past_key_values=_Static(cache, place),
            use_cache=True,
        )
        return self.model.lm_head(found.last_hidden_state)[0, -1]


class _Static:
    """What a model of transformers asks of a cache, over tensors that are there already."""

    def __init__(self, cache: Sequence[torch.Tensor], place: torch.Tensor) -> None:
        self._cache, self._place = cache, place

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the token's keys and values (1, groups, 1, width); return those of all places."""
        held = self._cache[2 * layer], self._cache[2 * layer + 1]
        for mine, new in zip(held, (keys, values), strict=True):
            mine.index_copy_(2, self._place, new)
        return held


def exported_step(model: nn.Module, dtype: torch.dtype, device: torch.device) -> torch.export.ExportedProgram:
    """Return the step for caches in `dtype` of any length up to the model's context."""
    sizes: Any = model.config
    shape = (1, sizes.num_key_value_heads, _LENGTH, sizes.head_dim)
    cache = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(2 * sizes.num_hidden_layers)]
    given = torch.tensor([[5]], device=device), torch.tensor([3], device=device), cache
    room = torch.export.Dim("room", min=2, max=sizes.max_position_embeddings)
    return torch.export.export(
        Step(model).eval(), given, dynamic_shapes=(None, None, [{2: room}] * len(cache))
    )
