"""ONNX Runtime by its documentation: export, its optimizer for transformers, then dynamic and static int8.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html: dynamic quantization for transformers,
pre-processing first, int8 weights by channel, uint8 activations on x86, `reduce_range` without VNNI. The optimizer
knows the graphs of PyTorch's older exporter with eager attention: those it fuses whole. Static ranges for MatMul and
Gemm only: the default list of operators also quantizes the attention mask, and ruins BERT without a word.
"""

from pathlib import Path

import torch
from onnx import TensorProto
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.transformers import optimizer
from peer import Peer
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

peer = Peer()
NAMES = ["input_ids", "attention_mask", "token_type_ids"]
FORMAT = {"per_channel": True, "reduce_range": not peer.vnni, "weight_type": QuantType.QInt8}
UNKNOWN = {"DefaultTensorType": TensorProto.FLOAT}  # shape inference does not see through fused operators
tokenizer = AutoTokenizer.from_pretrained(peer.model)
config = AutoConfig.from_pretrained(peer.model)
HEADS, HIDDEN = config.num_attention_heads, config.hidden_size


def encoded(texts: list[str], tensors: str) -> dict:
    return tokenizer(texts, truncation=True, padding=True, max_length=peer.max_length, return_tensors=tensors)


class Calibration(CalibrationDataReader):
    """One training text at a time."""

    def __init__(self) -> None:
        self.texts = iter(peer.split("train")[0][:128])

    def get_next(self) -> dict | None:
        """Return the next inputs."""
        text = next(self.texts, None)
        return None if text is None else dict(encoded([text], "np"))


def export(attention: str, file: Path, **exporter: object) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(
        peer.model, attn_implementation=attention
    ).eval()
    given = encoded(["a text", "another, somewhat longer text"], "pt")
    example = tuple(given[name] for name in NAMES)
    torch.onnx.export(model, example, file, input_names=NAMES, output_names=["logits"], **exporter)


def prepared(source: Path) -> Path:
    target = source.with_name("prepared.onnx")
    quant_pre_process(source, target, skip_symbolic_shape=True)
    return target


def dynamic(source: Path, name: str) -> None:
    with peer.attempt(f"int8 dynamic, {name}"):
        target = peer.folder(f"dynamic-{name}") / "model.onnx"
        quantize_dynamic(source, target, extra_options=UNKNOWN, **FORMAT)
        peer.made(f"int8 dynamic, {name}", "onnx", target)


def static(source: Path, name: str) -> None:
    with peer.attempt(f"int8 static, {name}"):
        target = peer.folder(f"static-{name}") / "model.onnx"
        quantize_static(
            source,
            target,
            Calibration(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul", "Gemm"],
            activation_type=QuantType.QUInt8,
            **FORMAT,
        )
        peer.made(f"int8 static, {name}", "onnx", target)


with peer.attempt("exported"):
    exported = peer.folder("exported") / "model.onnx"
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    export("sdpa", exported, dynamo=True, external_data=False, dynamic_shapes=dict.fromkeys(NAMES, free))
    peer.made("fp32, exported", "onnx", exported)
    ready = prepared(exported)
    dynamic(ready, "exported")
    static(ready, "exported")  # fused attention has no static form in QDQ

with peer.attempt("optimized"):
    fused = peer.folder("optimized") / "model.onnx"
    free = {0: "batch", 1: "sequence"}
    export("eager", fused, dynamo=False, opset_version=17, dynamic_axes=dict.fromkeys(NAMES, free))
    found = optimizer.optimize_model(str(fused), model_type="bert", num_heads=HEADS, hidden_size=HIDDEN)
    print("fused:", found.get_fused_operator_statistics())
    found.save_model_to_file(str(fused))
    peer.made("fp32, optimized", "onnx", fused)
    dynamic(fused, "optimized")  # the optimizer takes the place of pre-processing
