"""A PyTorch model where it computes: arrays go in from the host and come back to it, whatever the device."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

#: Takes int64 tensors (batch, sequence) on the model's device, returns logits (batch, labels) there.
Call = Callable[..., torch.Tensor]
_WARM = 3  # calls before a capture: libraries choose their kernels and take their memory in them
_TIMED = 50  # calls of which the device's own time is taken


class Placed:
    """A model's call with arrays of the host. With a fixed `shape` on a GPU its kernels are captured as one graph."""

    def __init__(self, call: Call, device: torch.device, inputs: int, shape: tuple[int, int] | None) -> None:
        self._device, self._call = device, call
        self._graph = None
        if shape and device.type == "cuda":
            self._graph = Graph(call, [_example(shape, device) for _ in range(inputs)])

    @torch.inference_mode()
    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        """Return float32 logits (batch, labels) of int64 arrays (batch, sequence), when they are on the host."""
        return self._answer(arrays).float().cpu().numpy()

    def _answer(self, arrays: Sequence[np.ndarray]) -> torch.Tensor:
        tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
        if self._graph is not None:
            return self._graph(*tensors)
        return self._call(*(tensor.to(self._device, non_blocking=True) for tensor in tensors))

    @torch.inference_mode()
    def details(self, *arrays: np.ndarray) -> dict[str, float]:
        """Return what the GPU itself says: its median ms of a call by CUDA events, and its allocator's peaks in MB.

        `device_ms` is from the first copy to the last kernel of a call; the peaks are of this whole process.
        """
        if self._device.type != "cuda":
            return {}
        return {
            "device_ms": statistics.median(self._timed(arrays) for _ in range(_TIMED)),
            **taken_mb(),
        }

    def _timed(self, arrays: Sequence[np.ndarray]) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        self._answer(arrays)
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end))


def taken_mb() -> dict[str, float]:
    """Return what this process took of the GPU's memory at most, by PyTorch's allocator, in MB."""
    return {
        "allocated_mb": torch.cuda.max_memory_allocated() / 1e6,
        "reserved_mb": torch.cuda.max_memory_reserved() / 1e6,
    }


class Graph:
    """All kernels of one call at one shape, captured once: one launch instead of hundreds (CUDA graphs).

    `given` are inputs of that shape on the GPU, which are taken over.
    """

    def __init__(self, call: Call, given: Sequence[torch.Tensor]) -> None:
        self._given = given
        with torch.inference_mode():
            _apart(lambda: call(*self._given))
            self._graph: Any = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._answer = call(*self._given)

    def __call__(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Return the answer's own buffer, good until the next call."""
        for mine, new in zip(self._given, tensors, strict=True):
            mine.copy_(new, non_blocking=True)
        self._graph.replay()
        return self._answer


def _example(shape: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Return an input; a mask of ones alone may be left out, and with it the kernels that need warming up."""
    example = torch.ones(shape, dtype=torch.int64, device=device)
    example[:, -1] = 0
    return example


def _apart(call: Callable[[], torch.Tensor]) -> None:
    """Warm up on a stream of its own, as captures ask for."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM):
            call()
    torch.cuda.current_stream().wait_stream(stream)
