"""Serve a causal checkpoint with PyTorch: eager for prompts, compiled for the tokens of the answer.

Needs numpy, torch, transformers and safetensors; no compiler. The step is an AOTInductor package with a static KV
cache: keys and values have their places from the start, so that every token is made by the same kernels at the same
addresses; on a GPU they are one CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch._inductor import aoti_load_package
from transformers import DynamicCache

from . import torch_generating_session as eager
from .placed import Call, Graph
from .torch_formats import dtype_of

_LEAST = 128  # tokens that a cache holds


class Session(eager.Session):
    """The eager session, whose tokens after the prompt's come from the compiled step; weights are shared by both."""

    def __init__(self, directory: Path, threads: int) -> None:
        super().__init__(directory, threads)
        # A capture must hold kernels only: the package's own bookkeeping of who still runs asks the GPU.
        on_gpu = self._device.type == "cuda"
        self._step = aoti_load_package(str(directory / self._described["step"]), run_single_threaded=on_gpu)
        if self._described["shared_weights"]:
            self._share()
        self._rooms: dict[int, _Room] = {}

    def _share(self) -> None:
        """Give the package the eager model's own weights: it was stored without."""
        own = dict(self._model.named_parameters(remove_duplicate=False))
        own |= dict(self._model.named_buffers(remove_duplicate=False))
        wanted = self._step.get_constant_fqns()
        weights = {name: own[name.removeprefix("model.")].detach() for name in wanted}
        self._step.load_constants(weights, check_full_update=True, user_managed=True)

    def _reader(self, longest: int) -> Callable[[Sequence[int]], np.ndarray]:
        room = self._room(longest)
        place = 0

        @torch.inference_mode()
        def read(tokens: Sequence[int]) -> np.ndarray:
            nonlocal place
            if place:
                logits = room.read(tokens[0], place)
            else:
                cache = DynamicCache(config=self._model.config)
                logits = self._logits(tokens, cache)
                room.fill(cache)
            place += len(tokens)
            return logits.float().cpu().numpy()

        return read

    def _room(self, longest: int) -> _Room:
        """Return the cache of the next power of two; on a GPU each holds a graph, which is captured once."""
        length = min(max(_LEAST, 1 << (longest - 1).bit_length()), self.context)
        if length not in self._rooms:
            dtype = dtype_of(self._described["bits"], self._described["scheme"])
            with torch.inference_mode():
                self._rooms[length] = _Room(self._step, self._model.config, length, dtype, self._device)
        return self._rooms[length]


class _Room:
    """A static cache of one length and the step that goes on in it."""

    def __init__(self, step: Call, sizes: Any, length: int, dtype: torch.dtype, device: torch.device) -> None:
        shape = (1, sizes.num_key_value_heads, length, sizes.head_dim)
        self._cache = [
            torch.zeros(shape, dtype=dtype, device=device) for _ in range(2 * sizes.num_hidden_layers)
        ]
        self._given = torch.zeros((1, 1), dtype=torch.int64), torch.zeros(1, dtype=torch.int64)

        def call(token: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
            return step(token, place, self._cache)

        on_gpu = device.type == "cuda"
        self._step: Call = Graph(call, [part.to(device) for part in self._given]) if on_gpu else call

    def fill(self, read: DynamicCache) -> None:
        """Take over what was read eagerly."""
        parts = [part for layer in read.layers for part in (layer.keys, layer.values)]
        for mine, part in zip(self._cache, parts, strict=True):
            mine[:, :, : part.shape[2]] = part

    def read(self, token: int, place: int) -> torch.Tensor:
        """Read a token at its place; return the logits (vocabulary,) of what may follow, good until the next call."""
        self._given[0].fill_(token)
        self._given[1].fill_(place)
        return self._step(*self._given)


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
