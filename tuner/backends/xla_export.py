"""A classifier as programs of StableHLO: traced by torchax, lowered by JAX for a platform that need not be here."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import export
from torch import nn

from tuner.backends.onnx_export import LogitsOnly
from tuner.runtime.shaped import load_shaped
from tuner.runtime.torch_formats import in_format

#: Takes weights and int32 inputs (batch, sequence), returns logits (batch, labels).
_Call = Callable[[Mapping[str, jax.Array], jax.Array, jax.Array], jax.Array]
_SCALE = ".scale"  # what an int8 weight's factors are called, after its own name
_STEPS = 127  # of int8, to either side


class Programs:
    """A checkpoint's function and weights: in fp32, bf16, or bf16 with linear layers' weights in int8."""

    def __init__(self, checkpoint: Path, bits: int) -> None:
        import torchax

        number = {"bits": max(bits, 16), "scheme": "none"}
        model = LogitsOnly(in_format(load_shaped(checkpoint), number, torch.device("cpu"))).eval()
        with _quiet():
            found, self._traced = torchax.extract_jax(model)
        self.weights: dict[str, np.ndarray] = {name: np.asarray(array) for name, array in found.items()}
        self._bits = bits
        if bits == 8:
            for name in _linear(model):
                self.weights |= _in_int8(name, self.weights[name])

    def lowered(self, platform: str, length: int, batch: int | None = None) -> bytes:
        """Return the program for inputs of one length, and of one batch or, as None, of any; serialized."""
        rows = export.symbolic_shape("rows")[0] if batch is None else batch
        ids = jax.ShapeDtypeStruct((rows, length), np.int32)
        weights = {k: jax.ShapeDtypeStruct(v.shape, v.dtype) for k, v in self.weights.items()}
        # What TPUs and GPUs do with fp32 unasked keeps 8 or 10 bits of the mantissa.
        precision = "highest" if self._bits == 32 else "default"
        with _quiet(), jax.default_matmul_precision(precision):
            program = export.export(jax.jit(self._logits), platforms=[platform])(weights, ids, ids)
        return bytes(program.serialize())

    def _logits(self, weights: Mapping[str, jax.Array], input_ids: jax.Array, mask: jax.Array) -> jax.Array:
        """Return fp32 logits (batch, labels). The model sees one row: its code takes no batch that is left open."""
        wide = _widened(weights)

        def one(ids: jax.Array, kept: jax.Array) -> Any:
            return self._traced(wide, (ids[None], kept[None]), {})[0]

        return jax.vmap(one)(input_ids, mask).astype(jnp.float32)

    def save(self, file: Path) -> None:
        """Write the weights as .npz, which needs no pickle; bf16, which it does not know, as 16-bit integers."""
        plain = {k: v.view(np.uint16) if v.dtype == jnp.bfloat16 else v for k, v in self.weights.items()}
        np.savez(file, **plain)  # type: ignore[arg-type]


def _linear(model: nn.Module) -> list[str]:
    """Return the names of the weights of linear layers: rows of an embedding are read, not multiplied."""
    return [f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)]


def _in_int8(name: str, weight: np.ndarray) -> dict[str, np.ndarray]:
    """Return a weight (out, in) in symmetric int8 with one bf16 factor for each output."""
    wide = weight.astype(np.float32)
    scale = np.maximum(np.abs(wide).max(axis=1, keepdims=True), 1e-12) / _STEPS
    scale = scale.astype(weight.dtype)  # rounded first: the steps are counted in what will be multiplied with
    steps = np.clip(np.round(wide / scale.astype(np.float32)), -_STEPS, _STEPS)
    return {name: steps.astype(np.int8), name + _SCALE: scale}


def _widened(weights: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    plain = {name: array for name, array in weights.items() if not name.endswith(_SCALE)}
    scales = {name: weights[name + _SCALE] for name in plain if name + _SCALE in weights}
    return {**plain, **{name: plain[name].astype(scale.dtype) * scale for name, scale in scales.items()}}


class _quiet(warnings.catch_warnings):  # noqa: N801 - a context manager
    """JAX says at each integer of 64 bits that it takes 32: tokens and positions fit."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", message="Explicitly requested dtype")
