"""OpenVINO with NNCF by its documentation: static shape, then post-training int8, plain and with accuracy control.

https://docs.openvino.ai/2026/openvino-workflow/model-optimization.html: `nncf.quantize` for the model type TRANSFORMER,
`nncf.quantize_with_accuracy_control` with a largest drop; compiled with the performance hint LATENCY. Without a hint of
its own the CPU plugin computes in bf16 where there are such instructions: that is the default, so both are handed in.
"""

import nncf
import numpy as np
import openvino as ov
from peer import Peer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

peer = Peer()
NAMES = ["input_ids", "attention_mask", "token_type_ids"]
LATENCY = {"PERFORMANCE_HINT": "LATENCY"}
F32 = {**LATENCY, "INFERENCE_PRECISION_HINT": "f32"}
tokenizer = AutoTokenizer.from_pretrained(peer.model)


def encoded(text: str) -> dict:
    rows = tokenizer(
        [text], truncation=True, padding="max_length", max_length=peer.shape[1], return_tensors="np"
    )
    return {name: rows[name].astype(np.int64) for name in NAMES}


def converted() -> ov.Model:
    model = AutoModelForSequenceClassification.from_pretrained(peer.model).eval()
    example = tokenizer(["a text", "another, longer text"], padding=True, return_tensors="pt")
    found = ov.convert_model(model, example_input={name: example[name] for name in NAMES})
    found.reshape({port.get_any_name(): list(peer.shape) for port in found.inputs})
    return found


def accuracy(compiled: ov.CompiledModel, documents: list) -> tuple[float, list[float]]:
    right = [float(np.argmax(compiled(inputs)[0]) == label) for inputs, label in documents]
    return float(np.mean(right)), right


def save(model: ov.Model, name: str, variants: dict[str, dict], fp16: bool = False) -> None:
    file = peer.folder(name) / "model.xml"
    ov.save_model(model, file, compress_to_fp16=fp16)
    for label, settings in variants.items():
        peer.made(label, "openvino", file, settings=settings, fixed_shape=peer.shape)


model = converted()
save(model, "plain", {"fp32": F32, "as compiled by default (bf16 where there is)": LATENCY})

calibration = nncf.Dataset([encoded(text) for text in peer.split("train")[0][:300]])
with peer.attempt("int8"):
    quantized = nncf.quantize(converted(), calibration, model_type=nncf.ModelType.TRANSFORMER)
    save(quantized, "int8", {"int8": LATENCY, "int8, rest in fp32": F32})

with peer.attempt("int8 with accuracy control"):
    texts, labels = peer.split("validation")
    validation = nncf.Dataset([(encoded(text), label) for text, label in zip(texts, labels, strict=True)])
    controlled = nncf.quantize_with_accuracy_control(
        converted(),
        calibration,
        validation,
        validation_fn=accuracy,
        max_drop=0.01,
        model_type=nncf.ModelType.TRANSFORMER,
    )
    save(controlled, "controlled", {"int8 with accuracy control": LATENCY})
