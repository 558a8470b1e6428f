"""Serve a causal checkpoint with PyTorch eager. Needs numpy, torch, transformers and safetensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import DynamicCache

from .drafting import Drafting, Told
from .placed import taken_mb
from .shaped import load_shaped
from .token_loop import check_tokens
from .torch_formats import in_format


class Session(Drafting):
    """The transformers model itself, run eagerly, with a cache that grows by what is read."""

    def __init__(self, directory: Path, threads: int, model: nn.Module | None = None) -> None:
        """Load; or take this `model`, already where and how it is to be run, for the artefact's own."""
        super().__init__(directory, threads)
        self._described = described = json.loads((directory / "artefact.json").read_text())
        torch.set_num_threads(threads)
        self.context, self.vocabulary = int(described["context"]), int(described["vocabulary"])
        self._device = torch.device(described["device"])
        self._model = model or in_format(load_shaped(directory / described["model"]), described, self._device)

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

    def told(self, room: int) -> Told:
        """Return a new conversation; its cache grows by what is read."""
        return Reader(self._model, self._device)


class Reader:
    """What one conversation's model was told so far."""

    def __init__(self, model: torch.nn.Module, device: torch.device) -> None:
        self._model, self._device = model, device
        self.cache = DynamicCache(config=model.config)
        self.cache.activate_past_recording()  # else sliding windows could take nothing back

    def read(self, tokens: Sequence[int]) -> np.ndarray:
        """Read tokens after those before; return the logits (vocabulary,) of what may follow."""
        return self._read(tokens, 1)[0]

    def read_all(self, tokens: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the logits (tokens, vocabulary) after each."""
        return self._read(tokens, len(tokens))

    def forget(self, count: int) -> None:
        """Take back the last tokens."""
        if count:
            self.cache.crop(-count)

    @torch.inference_mode()
    def _read(self, tokens: Sequence[int] | np.ndarray, kept: int) -> np.ndarray:
        given = torch.tensor([list(tokens)], device=self._device)
        found = self._model(input_ids=given, past_key_values=self.cache, use_cache=True, logits_to_keep=kept)
        logits: np.ndarray = found.logits[0, -kept:].float().cpu().numpy()
        return logits


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
