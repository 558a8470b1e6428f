"""Serve a Hugging Face folder under torch.compile: compiled at load, from inductor's cache beside the folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tuner.runtime.padding import run_padded


class Session:
    """A compiled model of a fixed shape."""

    def __init__(self, directory: Path, threads: int) -> None:
        described = json.loads((directory / "artefact.json").read_text())
        batch, length = described["fixed_shape"]
        self.fixed_shape = (int(batch), int(length))
        self.inputs = ["input_ids", "attention_mask"]
        os.environ["TORCHINDUCTOR_FREEZING"] = "1"
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(described["model"]).parent / "inductor")
        self._model = _compiled(Path(described["model"]), described["settings"], threads)
        self._infer({name: np.ones(self.fixed_shape, dtype=np.int64) for name in self.inputs})

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return float32 logits (batch, labels) of int64 inputs (batch, sequence)."""
        return run_padded(self._infer, inputs, self.fixed_shape)

    def _infer(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        import torch

        ids, mask = (torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in self.inputs)
        with torch.no_grad():
            return self._model(input_ids=ids, attention_mask=mask).logits.float().numpy()


def _compiled(folder: Path, settings: Mapping[str, str], threads: int):  # noqa: ANN202 - torch is imported late
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.set_num_threads(threads)
    dtype = getattr(torch, settings["dtype"])
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype).eval()
    return torch.compile(model, mode=settings["mode"], dynamic=False)


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
