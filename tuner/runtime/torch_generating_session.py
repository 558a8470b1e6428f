"""Serve a causal checkpoint with PyTorch eager. Needs numpy, torch, transformers and safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import DynamicCache

from .generating import Choose, check_room
from .placed import taken_mb
from .shaped import load_shaped
from .token_loop import check_tokens, token_loop
from .torch_formats import in_format


class Session:
    """The transformers model itself, run eagerly, with a cache that grows by what is read."""

    def __init__(self, directory: Path, threads: int) -> None:
        self._described = described = json.loads((directory / "artefact.json").read_text())
        torch.set_num_threads(threads)
        self.context, self.vocabulary = int(described["context"]), int(described["vocabulary"])
        self._device = torch.device(described["device"])
        self._model = in_format(load_shaped(directory / described["model"]), described, self._device)

    def stream(
        self, prompt: Sequence[int], most: int, stop: Collection[int] = (), choose: Choose | None = None
    ) -> Iterator[int]:
        """Yield the next tokens (see `GeneratingSession`).

        Raises:
            ValueError: the prompt does not fit.
        """
        check_room(prompt, most, self.context, self.vocabulary)
        return token_loop(self._reader(len(prompt) + most), prompt, most, stop, choose)

    @torch.inference_mode()
    def score(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log-probabilities and likeliest tokens (n - 1,) of tokens (n,) in one pass.

        Raises:
            ValueError: the tokens do not fit.
        """
        check_tokens(tokens, self.context, self.vocabulary)
        given = torch.from_numpy(np.ascontiguousarray(tokens, dtype=np.int64)).to(self._device)
        logits = self._model(input_ids=given[None, :-1], use_cache=False).logits[0].float()
        taken = logits.gather(1, given[1:, None])[:, 0] - logits.logsumexp(dim=1)
        return taken.cpu().numpy(), logits.argmax(dim=1).cpu().numpy()

    def details(self) -> dict[str, float]:
        """Return what of a GPU's memory was taken at most (see `taken_mb`); nothing on a processor."""
        return taken_mb() if self._device.type == "cuda" else {}

    def _reader(self, longest: int) -> Callable[[Sequence[int]], np.ndarray]:
        """Return a function that reads tokens after those before, `longest` in all."""
        cache = DynamicCache(config=self._model.config)

        @torch.inference_mode()
        def read(tokens: Sequence[int]) -> np.ndarray:
            return self._logits(tokens, cache).float().cpu().numpy()

        return read

    def _logits(self, tokens: Sequence[int], cache: DynamicCache) -> torch.Tensor:
        """Read tokens into the cache; return the logits (vocabulary,) of what may follow."""
        given = torch.tensor([list(tokens)], device=self._device)
        found = self._model(input_ids=given, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return found.logits[0, -1]


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
