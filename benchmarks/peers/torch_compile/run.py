"""torch.compile in bf16 by PyTorch's documentation: frozen weights, autotuned, compiled when first called and ahead.

https://docs.pytorch.org/tutorials/unstable/max_autotune_on_CPU_tutorial.html: `mode="max-autotune"` with freezing, for
the C++ templates of matrix products. What `torch.compile` makes lives in its process: handed in are the model and
inductor's cache, from which the serving process compiles again. AOTInductor stores a library. All shapes are static.
"""

import os
import shutil
from pathlib import Path

from peer import Peer

peer = Peer()
os.environ["TORCHINDUCTOR_FREEZING"] = "1"
os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(peer.out / "inductor")

import torch  # noqa: E402
from torch._inductor import aoti_compile_and_package  # noqa: E402
from transformers import AutoModelForSequenceClassification  # noqa: E402

shutil.copytree(peer.model, peer.out / "model")
ids = torch.randint(5, 1000, peer.shape)
mask = torch.ones_like(ids)
mask[:, peer.shape[1] // 2 :] = 0


def loaded(dtype: torch.dtype) -> torch.nn.Module:
    return AutoModelForSequenceClassification.from_pretrained(peer.model, dtype=dtype).eval()


class Logits(torch.nn.Module):
    """The model as a function of two tensors to one."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = loaded(dtype)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, labels)."""
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def just_in_time(dtype: torch.dtype, label: str, mode: str) -> None:
    with peer.attempt(label), torch.no_grad():
        torch.compile(loaded(dtype), mode=mode, dynamic=False)(input_ids=ids, attention_mask=mask)
        settings = {"mode": mode, "dtype": str(dtype).removeprefix("torch.")}
        peer.made(label, "torch-compile", peer.out / "model", fixed_shape=peer.shape, settings=settings)


def ahead(dtype: torch.dtype, label: str, settings: dict) -> None:
    with peer.attempt(label), torch.no_grad():
        file = peer.folder(label.replace(" ", "-")) / "model.pt2"
        program = torch.export.export(Logits(dtype), (ids, mask))
        aoti_compile_and_package(program, package_path=str(file), inductor_configs=settings)
        peer.made(label, "aoti", Path(file), fixed_shape=peer.shape)


just_in_time(torch.bfloat16, "torch.compile bf16", "default")
just_in_time(torch.bfloat16, "torch.compile bf16 max-autotune", "max-autotune")
ahead(torch.bfloat16, "AOTInductor bf16", {"freezing": True})
ahead(torch.bfloat16, "AOTInductor bf16 max-autotune", {"freezing": True, "max_autotune": True})
just_in_time(torch.float32, "torch.compile fp32", "default")
