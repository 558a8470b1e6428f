"""ONNX artefacts of a chosen size, made on the fly: embedding, square products over all tokens, pooling, a head."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_VOCABULARY, _LABELS = 100, 3


def stack(folder: Path, layers: int, width: int) -> Path:
    """Write an artefact with so many (tokens x width) x (width x width) products; return its folder."""
    rng = np.random.default_rng(0)
    weights = [_weight(rng, "table", _VOCABULARY, width), _weight(rng, "head", width, _LABELS)]
    weights += [_weight(rng, f"w{i}", width, width) for i in range(layers)]
    weights += [
        numpy_helper.from_array(np.array([2]), "last"),
        numpy_helper.from_array(np.array([1]), "tokens"),
    ]
    shape = ["batch", "sequence"]
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.INT64, shape) for n in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", _LABELS])]
    graph = helper.make_graph(_nodes(layers), "stack", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    described = {"session": "onnxruntime_session", "model": "model.onnx", "device": "cpu", "bits": 32}
    described |= {"fixed_shape": None}
    (folder / "artefact.json").write_text(json.dumps(described))
    return folder


def _weight(rng: np.random.Generator, name: str, rows: int, columns: int) -> onnx.TensorProto:
    values = rng.normal(size=(rows, columns)) / np.sqrt(rows)
    return numpy_helper.from_array(values.astype(np.float32), name)


def _nodes(layers: int) -> list[onnx.NodeProto]:
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["h0"])]
    for i in range(layers):
        nodes.append(helper.make_node("MatMul", [f"h{i}", f"w{i}"], [f"m{i}"]))
        nodes.append(helper.make_node("Tanh", [f"m{i}"], [f"h{i + 1}"]))
    return [
        *nodes,
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", [f"h{layers}", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens"], ["pooled"], keepdims=0),
        helper.make_node("MatMul", ["pooled", "head"], ["logits"]),
    ]
