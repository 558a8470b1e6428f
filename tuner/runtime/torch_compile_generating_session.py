"""Serve a causal checkpoint with PyTorch: eager for prompts, compiled for the tokens of the answer.

Needs numpy, torch, transformers and safetensors; no compiler. The step is an AOTInductor package with a static KV
cache: keys and values have their places from the start, so that every token is made by the same kernels at the same
addresses; on a GPU they are one CUDA graph.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    def told(self, room: int) -> _Told:
        """Return a new conversation of at most so many tokens; the one before is over."""
        return _Told(eager.Reader(self._model, self._device), self._room(room))

    def _room(self, longest: int) -> _Room:
        """Return the cache of the next power of two; on a GPU each holds a graph, which is captured once."""
        length = min(max(_LEAST, 1 << (longest - 1).bit_length()), self.context)
        if length not in self._rooms:
            dtype = dtype_of(self._described["bits"], self._described["scheme"])
            with torch.inference_mode():
                self._rooms[length] = _Room(self._step, self._model.config, length, dtype, self._device)
        return self._rooms[length]


class _Told:
    """What one conversation's model was told so far: the first tokens eagerly, the others one by one."""

    def __init__(self, prompt: eager.Reader, room: _Room) -> None:
        self._prompt, self._room, self._place = prompt, room, 0

    def read(self, tokens: Sequence[int]) -> np.ndarray:
        """Read tokens after those before; return the logits (vocabulary,) of what may follow."""
        if self._place:
            return self.read_all(tokens)[-1]
        return self._begun(tokens, self._prompt.read(tokens))

    def read_all(self, tokens: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the logits (tokens, vocabulary) after each."""
        if not self._place:
            return self._begun(tokens, self._prompt.read_all(tokens))
        found = [self._room.read(int(token), self._place + i) for i, token in enumerate(tokens)]
        self._place += len(tokens)
        return np.stack(found)

    def forget(self, count: int) -> None:
        """Take back the last tokens: what stands behind the last place is not looked at."""
        self._place -= count

    def _begun(self, tokens: Sequence[int] | np.ndarray, logits: np.ndarray) -> np.ndarray:
        self._room.fill(self._prompt.cache)
        self._place = len(tokens)
        return logits


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

    @torch.inference_mode()
    def fill(self, read: DynamicCache) -> None:
        """Take over what was read eagerly."""
        parts = [part for layer in read.layers for part in (layer.keys, layer.values)]
        for mine, part in zip(self._cache, parts, strict=True):
            mine[:, :, : part.shape[2]] = part

    @torch.inference_mode()
    def read(self, token: int, place: int) -> np.ndarray:
        """Read a token at its place; return the logits (vocabulary,) of what may follow."""
        self._given[0].fill_(token)
        self._given[1].fill_(place)
        logits: np.ndarray = self._step(*self._given).float().cpu().numpy()
        return logits


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
