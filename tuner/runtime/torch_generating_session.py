"""Serve a causal checkpoint with PyTorch eager. Needs numpy, torch, transformers and safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import DynamicCache

from .generating import Choose, check_room
from .shaped import load_shaped
from .token_loop import check_tokens, token_loop
from .torch_formats import in_format


class Session:
    """The transformers model itself, run eagerly, with a cache that grows by what is read."""

    def __init__(self, directory: Path, threads: int, model: nn.Module | None = None) -> None:
        """Load; or take this `model`, already where and how it is to be run, for the artefact's own."""
        described = json.loads((directory / "artefact.json").read_text())
        torch.set_num_threads(threads)
        self.context, self.vocabulary = int(described["context"]), int(described["vocabulary"])
        self._device = torch.device(described["device"])
        self._model = model or in_format(load_shaped(directory / described["model"]), described, self._device)

    def stream(
        self, prompt: Sequence[int], most: int, stop: Collection[int] = (), choose: Choose | None = None
    ) -> Iterator[int]:
        """Yield the next tokens (see `GeneratingSession`).

        Raises:
            ValueError: the prompt does not fit.
        """
        check_room(prompt, most, self.context, self.vocabulary)
        return token_loop(self.reader(), prompt, most, stop, choose)

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

    def reader(self) -> Callable[[Sequence[int]], np.ndarray]:
        """Return what reads tokens after those before, into its own cache, and returns logits (vocabulary,)."""
        cache = DynamicCache(config=self._model.config)

        @torch.inference_mode()
        def read(tokens: Sequence[int]) -> np.ndarray:
            given = torch.tensor([list(tokens)], device=self._device)
            found = self._model(input_ids=given, past_key_values=cache, use_cache=True, logits_to_keep=1)
            return found.logits[0, -1].float().cpu().numpy()

        return read


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
