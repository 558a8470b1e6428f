"""Serve programs of StableHLO with XLA on the platform they were lowered for. Needs numpy, jax and flatbuffers.

There is a program for each length of `buckets`, with the batch left open; XLA compiles one when its length and batch
are first asked for. A fixed shape has a single program, compiled when it is loaded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from jax import export

from .buckets import rows
from .padding import padded, run_padded


class Session:
    """The compiled programs and the weights that they share, on one device."""

    def __init__(self, directory: Path, threads: int) -> None:
        described = json.loads((directory / "artefact.json").read_text())
        shape = described["fixed_shape"]
        self.fixed_shape = (int(shape[0]), int(shape[1])) if shape else None
        self.inputs = list(described["inputs"])
        device = device_of(described["device"], threads)
        programs = {
            int(length): export.deserialize(bytearray((directory / name).read_bytes()))
            for length, name in described["programs"].items()
        }
        self._weights = _weights(directory / described["model"], next(iter(programs.values())), device)
        self._programs = {length: jax.jit(program.call) for length, program in programs.items()}
        self._compiled: set[tuple[int, ...]] = set()
        if self.fixed_shape:
            self._infer({name: np.ones(self.fixed_shape, dtype=np.int64) for name in self.inputs})

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return float32 logits (batch, labels) of int64 inputs (batch, sequence).

        Raises:
            ValueError: the inputs are longer than the longest program.
        """
        if self.fixed_shape is not None:
            return run_padded(self._infer, inputs, self.fixed_shape)
        count, given = inputs[self.inputs[0]].shape
        shape = self._bucket(count, given)
        return self._infer({name: padded(inputs[name], shape) for name in self.inputs})[:count]

    def prepare(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Compile what inputs of this shape need, if that is not done: a second that is nobody's answer."""
        if self.fixed_shape is None and self._bucket(*inputs[self.inputs[0]].shape) not in self._compiled:
            self.run(inputs)

    def _bucket(self, count: int, given: int) -> tuple[int, int]:
        length = next((length for length in self._programs if length >= given), None)
        if length is None:
            raise ValueError(f"{given} tokens, but this artefact is built for {max(self._programs)}")
        return rows(count), length

    def _infer(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        arrays = [inputs[name].astype(np.int32) for name in self.inputs]
        self._compiled.add(arrays[0].shape)
        return np.asarray(self._programs[arrays[0].shape[1]](self._weights, *arrays))


def device_of(platform: str, threads: int) -> jax.Device:
    """Return the first device of a platform (`cpu`, `cuda`, `tpu`), and nothing else in its place.

    XLA's pool on the processor has `threads` threads: it is made once in a process, so the first session decides.

    Raises:
        RuntimeError: JAX finds no such device.
    """
    os.environ["NPROC"] = str(threads)  # the only thing that XLA asks: it does not know how many are wanted
    os.environ.setdefault(
        "XLA_PYTHON_CLIENT_PREALLOCATE", "false"
    )  # else three quarters of a GPU are gone at once
    if not jax.config.jax_platforms:  # else devices that nobody asked for are started, too
        jax.config.update("jax_platforms", "cpu" if platform == "cpu" else f"{platform},cpu")
    return jax.devices(platform)[0]


def _weights(file: Path, program: export.Exported, device: jax.Device) -> dict[str, jax.Array]:
    """Return the stored arrays in the types that the program says: .npz does not know bf16."""
    with np.load(file) as arrays:
        stored = {name: arrays[name] for name in arrays.files}
    ((wanted, *_), _) = jax.tree.unflatten(program.in_tree, program.in_avals)
    return {name: jax.device_put(stored[name].view(aval.dtype), device) for name, aval in wanted.items()}


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
