"""Serve an AOTInductor package. Needs numpy and torch; no compiler, no transformers."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch._inductor import aoti_load_package

from .torch_formats import round_products
from .torch_running import Running

_LEAST = 17  # rows of a product that cuBLAS takes in int8


class Session(Running):
    """A compiled model."""

    def __init__(self, directory: Path, threads: int) -> None:
        described = json.loads((directory / "artefact.json").read_text())
        torch.set_num_threads(threads)
        round_products(described["scheme"])
        on_gpu = torch.device(described["device"]).type == "cuda"
        # A capture must hold kernels only: the package's own bookkeeping of who still runs asks the GPU.
        model = aoti_load_package(
            str(directory / described["model"]),
            run_single_threaded=bool(on_gpu and described["fixed_shape"]),
        )
        int8 = on_gpu and (described["bits"], described["scheme"]) == (8, "dynamic")
        super().__init__(described, model, _LEAST if int8 else 0)


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
