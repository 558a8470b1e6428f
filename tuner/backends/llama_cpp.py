"""llama.cpp on the CPU: GGUF in fp32, fp16, 8 and 4 bits, and 3 and 2 where a model's widths allow. Generation only.

Methods are llama.cpp's own formats: `q8_0`, `q4_0` and `q4_1` are blocks of 32 weights with a scale, `q4_1` also with a
minimum, which is a real number: a model that was published in such blocks loses nothing by it. `iq4_nl` has levels that
are not evenly spaced; `q3_k` and `q2_k` are blocks of 256. `gptq` finds the levels of `q4_0` by GPTQ on real text and
tunes their scales through the whole model; `gptq_10` to `gptq_60` leave 8 bits to the matrices whose rounding costs
the loss most, so many per cent of the weights. The embedding, which is the last layer too where the two are tied, keeps
8 bits, but for names with `_all`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tuner.backends.artefact import describe_generating, missing, pinned, version
from tuner.backends.base import DRAFTS, BuildRequest, Offer
from tuner.backends.shared import made_once
from tuner.errors import BuildError, UnsupportedError
from tuner.hardware import Host

_SERVING = ("llama-cpp-python", "numpy")
_NEEDED = ("llama-cpp-python", "gguf")
#: `gptq_20`: GPTQ, with a fifth of the layers' weights in 8 bits; `_all`: embedding (of GPTQ: head) in 4 bits as well.
_FOUR = (
    *("q4_0", "q4_1", "gptq", "gptq_10", "gptq_20", "gptq_60", "gptq_all", "gptq_10_all"),
    *("iq4_nl", "q4_1_all", "q4_0_all"),
)
_WIDE = {3: ("q3_k",), 2: ("q2_k",)}
_WIDE_BLOCK = 256
#: llama.h's `llama_ftype` and ggml.h's `ggml_type`.
_FILES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q2_k": 10, "q3_k": 12, "iq4_nl": 25}
_TENSORS = {"q4_0": 2, "q4_1": 3, "q8_0": 8}
_PLAIN = {32: "f32", 16: "f16", 8: "q8_0"}


class LlamaCppBackend:
    """`llama-cpp`: the ggml engine, through llama-cpp-python, which is compiled for the host when it is installed."""

    name = "llama-cpp"
    preload: tuple[str, ...] = ()

    def offers(self, host: Host) -> list[Offer]:
        """Return the number formats; all need the extra `llama-cpp`."""
        lacking = missing(*_NEEDED)
        able: dict[str, Any] = {
            "available": not lacking,
            "reason": lacking,
            "task": "text-generation",
            "kv_bits": (None, 8, 4),
            "drafts": DRAFTS,
            "batches": True,
        }
        low: dict[str, Any] = {"scheme": "weight-only", **able}
        return [
            Offer("cpu", 32, tolerance=0.05, **able),
            Offer("cpu", 16, tolerance=0.1, **able),
            Offer("cpu", 8, tolerance=0.15, methods=("q8_0",), **low),
            Offer("cpu", 4, tolerance=0.5, methods=_FOUR, **low),
            *(Offer("cpu", bits, tolerance=0.7, methods=names, **low) for bits, names in _WIDE.items()),  # type: ignore[arg-type]
        ]

    def build(self, request: BuildRequest, out: Path) -> None:
        """Write `out/model.gguf`, from an fp32 GGUF that all builds of a checkpoint share.

        Raises:
            BuildError: llama.cpp could not quantize it.
            UnsupportedError: a classifier, an unknown family, or widths that the format's blocks do not divide.
        """
        if request.task != "text-generation":
            raise UnsupportedError(f"{self.name} runs language models only, not {request.task}")
        from tuner.backends.gguf_mixed import write_mixed

        wanted = request.quantization
        _check_widths(request.checkpoint, wanted.bits)
        method = wanted.method or _PLAIN[wanted.bits]
        if method.startswith("gptq"):
            share = int("".join(filter(str.isdigit, method)) or 0) / 100
            write_mixed(request, out / "model.gguf", share, head=method.endswith("_all"))
        else:
            _quantize(_plain(request), out / "model.gguf", method, request.threads)
        pins = self.requirements()
        describe_generating(out, request, self.name, "llama_cpp_session", "model.gguf", pins)

    def requirements(self) -> list[str]:
        """Return what serving needs."""
        return pinned(*_SERVING)

    def versions(self) -> dict[str, str]:
        """Return the versions that the artefact depends on."""
        return {name: version(name) for name in (*_SERVING, "gguf")}


def _check_widths(checkpoint: Path, bits: int) -> None:
    """Refuse what llama.cpp would quietly store in more bits."""
    config = json.loads((checkpoint / "config.json").read_text())
    widths = {config["hidden_size"], config["intermediate_size"]}
    if bits in _WIDE and (odd := sorted(width for width in widths if width % _WIDE_BLOCK)):
        raise UnsupportedError(
            f"{bits} bits come in blocks of {_WIDE_BLOCK} weights, and rows of {odd[0]} do not divide into them"
        )


def _plain(request: BuildRequest) -> Path:
    """Return the fp32 GGUF of the checkpoint, made once."""
    from tuner.backends.gguf_file import write_gguf

    def make(folder: Path) -> None:
        write_gguf(request.checkpoint, folder / "model.gguf")

    return made_once(request.cache / "gguf", make) / "model.gguf"


def _quantize(source: Path, target: Path, method: str, threads: int) -> None:
    import llama_cpp

    from tuner.runtime.llama_cpp_cache import hush

    hush()
    form = method.removesuffix("_all")
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.nthread, settings.ftype = threads, _FILES[form]
    if form not in ("f32", "f16"):
        settings.pure = True
        settings.token_embedding_type = _TENSORS[form if method.endswith("_all") else "q8_0"]
        settings.output_tensor_type = settings.token_embedding_type
    code = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), settings)
    if code or not target.exists():
        raise BuildError(f"llama.cpp could not make {method} of it (code {code})")
