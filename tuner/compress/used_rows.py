"""Used rows: train only those rows of a word embedding whose tokens the documents hold.

A small student is mostly its embedding, and AdamW would pass over all of it in each step. A row whose token never
occurs gets no gradient: leaving it out changes nothing but the weight decay on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.functional import embedding


@contextmanager
def used_rows(model: nn.Module, token_ids: torch.Tensor) -> Iterator[None]:
    """Let the model train on the embedding's rows of these ids (any shape); write them back at the end."""
    full = model.get_input_embeddings()
    used = token_ids.unique()
    part = _Rows(full, used)
    model.set_input_embeddings(part)
    try:
        yield
    finally:
        with torch.no_grad():
            full.weight[used] = part.rows
        model.set_input_embeddings(full)


class _Rows(nn.Module):
    """Some rows of an embedding under their old numbers."""

    def __init__(self, full: nn.Embedding, used: torch.Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(full.weight.detach()[used])
        self._place = torch.zeros(full.num_embeddings, dtype=torch.long)
        self._place[used] = torch.arange(len(used))
        padding = full.padding_idx
        self._padding = None if padding is None else int(self._place[padding])

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        """Return the rows (…, hidden) of token ids of any shape."""
        return embedding(self._place[token_ids], self.rows, self._padding)
