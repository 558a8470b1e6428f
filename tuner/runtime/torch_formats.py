"""PyTorch's number formats: how products are rounded, what weights are held in, and torchao's low-bit weights.

Low-bit weights are made when the model is loaded, from those in bf16: torchao's own files are pickles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

_DTYPES = {(32, "none"): torch.float32, (32, "tf32"): torch.float32, (16, "fp16"): torch.float16}
_SPARSE_ROWS, _SPARSE_COLUMNS = 32, 64
_EVEN = 16  # the tensor cores' low-bit products take widths that this divides; other layers stay in bf16


def dtype_of(bits: int, scheme: str) -> torch.dtype:
    """Return the floating type of a format: bf16 where nothing else is said."""
    return _DTYPES.get((bits, scheme), torch.bfloat16)


def round_products(scheme: str) -> None:
    """Let fp32 matrix products be rounded to tf32, or not, in this whole process."""
    torch.set_float32_matmul_precision("high" if scheme == "tf32" else "highest")


def in_format(model: nn.Module, wanted: Mapping[str, Any], device: torch.device) -> nn.Module:
    """Return the model on a device in the format of `wanted`: `bits`, `scheme` and, for 4 bits, `group_size`.

    Where `wanted` says `sparse`, weights that are 2:4 are held as such, for kernels that skip their zeros.
    """
    bits, scheme = wanted["bits"], wanted["scheme"]
    round_products(scheme)
    model = model.to(device).eval()
    for (
        parameter
    ) in model.parameters():  # and nothing else: frequencies of rotary positions are buffers, and stay exact
        parameter.data = parameter.data.to(dtype_of(bits, scheme))
    if wanted.get("sparse"):
        _hold_sparse(model)
    if bits < 16:
        from torchao.quantization import quantize_

        quantize_(
            model, _config(bits, scheme, wanted.get("group_size")), filter_fn=_even(wanted.get("group_size"))
        )
    return model


def sparse_fits(layer: nn.Linear) -> bool:
    """Say whether 2:4 kernels take a layer: those of CUTLASS have the stricter widths."""
    return layer.out_features % _SPARSE_ROWS == 0 and layer.in_features % _SPARSE_COLUMNS == 0


def is_2_of_4(weight: torch.Tensor) -> bool:
    """Say whether at most two of each four weights in a row are other than zero."""
    return bool((weight.view(weight.shape[0], -1, 4).count_nonzero(dim=-1) <= 2).all())


def _hold_sparse(model: nn.Module) -> None:
    """Compress the 2:4 weights of linear layers in place: half the memory, and a product of half the work."""
    from torch.sparse import to_sparse_semi_structured

    for layer in model.modules():
        if isinstance(layer, nn.Linear) and sparse_fits(layer) and is_2_of_4(layer.weight):
            layer.weight = nn.Parameter(to_sparse_semi_structured(layer.weight.detach()), requires_grad=False)


def _config(bits: int, scheme: str, group_size: int | None) -> Any:
    import torchao.quantization as ao

    unasked: dict[str, Any] = {
        "set_inductor_config": False
    }  # else it changes the compiler's settings for all
    if bits == 4:
        packed = (
            "tile_packed_to_4d"  # tinygemm, a kernel of PyTorch itself; the default one needs another package
        )
        return ao.Int4WeightOnlyConfig(group_size=group_size or 128, int4_packing_format=packed, **unasked)
    if scheme == "fp8":
        return ao.Float8DynamicActivationFloat8WeightConfig(granularity=ao.PerRow(), **unasked)
    if scheme == "dynamic":
        return ao.Int8DynamicActivationInt8WeightConfig(**unasked)
    return ao.Int8WeightOnlyConfig(**unasked)


def _even(group_size: int | None) -> Any:
    step = group_size or _EVEN

    def wanted(module: nn.Module, name: str) -> bool:
        even = isinstance(module, nn.Linear) and module.in_features % step == 0
        return even and module.out_features % _EVEN == 0

    return wanted
