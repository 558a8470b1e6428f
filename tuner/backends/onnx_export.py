"""The fp32 ONNX export of a checkpoint, made once and shared by all ONNX Runtime builds of it."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import nn

from tuner.backends.shared import made_once
from tuner.errors import BuildError
from tuner.runtime.shaped import load_shaped

INPUTS = ("input_ids", "attention_mask")


class LogitsOnly(nn.Module):
    """The model as a function of two tensors to one: what exporters handle best."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, labels)."""
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def examples(batch: int = 2, length: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two distinct example tensors with real padding.

    torch.export merges inputs that are one object; and a mask of ones alone could be folded away.
    """
    ids = torch.randint(5, 30, (batch, length), generator=torch.Generator().manual_seed(0))
    mask = torch.ones((batch, length), dtype=torch.long)
    mask[-1, length // 2 :] = 0
    return ids, mask


def dynamic_shapes(max_length: int) -> dict[str, dict[int, torch.export.Dim]]:
    """Return batch and sequence as free dimensions of both inputs."""
    batch, sequence = (
        torch.export.Dim("batch", min=1, max=4096),
        torch.export.Dim("sequence", min=2, max=max_length),
    )
    return {name: {0: batch, 1: sequence} for name in INPUTS}


def onnx_model(checkpoint: Path, cache: Path, max_length: int) -> Path:
    """Return the path of the exported model in `cache`.

    Raises:
        BuildError: this family's graph cannot be exported.
    """

    def make(folder: Path) -> None:
        _export(checkpoint, folder / "model.onnx", max_length)

    return made_once(cache / "onnx", make) / "model.onnx"


def _export(checkpoint: Path, target: Path, max_length: int) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    model = LogitsOnly(load_shaped(checkpoint)).eval()
    try:
        with torch.no_grad():
            torch.onnx.export(
                model,
                examples(),
                str(target),
                input_names=list(INPUTS),
                output_names=["logits"],
                dynamic_shapes=dynamic_shapes(max_length),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # the exporter has its own dozen classes
        raise BuildError(f"ONNX export failed: {type(error).__name__}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), "")[:300]
