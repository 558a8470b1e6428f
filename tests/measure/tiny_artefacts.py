"""Tiny real ONNX artefacts for the measuring tests, and sessions that misbehave."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def onnx_artefact(folder, layers=4, width=128, vocabulary=100, labels=3):
    """Write an artefact: embedding, `layers` square matrix products over all tokens, masked mean, a head."""
    rng = np.random.default_rng(0)

    def weight(name, *shape):
        return numpy_helper.from_array((rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32), name)

    weights = [weight("table", vocabulary, width), weight("head", width, labels)]
    weights += [weight(f"w{i}", width, width) for i in range(layers)]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["h0"])]
    for i in range(layers):
        nodes.append(helper.make_node("MatMul", [f"h{i}", f"w{i}"], [f"m{i}"]))
        nodes.append(helper.make_node("Tanh", [f"m{i}"], [f"h{i + 1}"]))
    weights += [
        numpy_helper.from_array(np.array([2]), "last"),
        numpy_helper.from_array(np.array([1]), "tokens"),
    ]
    nodes += [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", [f"h{layers}", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens"], ["pooled"], keepdims=0),
        helper.make_node("MatMul", ["pooled", "head"], ["logits"]),
    ]
    shape = ["batch", "sequence"]
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.INT64, shape) for n in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", labels])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    return describe(folder, "onnxruntime_session", model="model.onnx")


def session_artefact(folder, source):
    """Write an artefact whose session is this Python source: how a third-party engine would bring its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own_session.py").write_text(source)
    return describe(folder, "own_session")


def describe(folder, session, **more):
    record = {
        "engine": "test",
        "bits": 32,
        "session": session,
        "fixed_shape": None,
        "requirements": [],
        **more,
    }
    (folder / "artefact.json").write_text(json.dumps(record))
    return folder


def documents(file, count=24, length=20):
    """Write an encoded split with labels, of documents of differing lengths."""
    rng = np.random.default_rng(0)
    mask = (np.arange(length) < rng.integers(3, length + 1, (count, 1))).astype(np.int64)
    ids = rng.integers(1, 100, (count, length)) * mask
    np.savez(file, input_ids=ids, attention_mask=mask, labels=rng.integers(0, 3, count))
    return file


SESSION = """
import os, signal, sys, time
import numpy as np

class Session:
    inputs = ["input_ids", "attention_mask"]
    fixed_shape = None
    def run(self, inputs):
        {body}
        return np.zeros((len(inputs["input_ids"]), 3), dtype=np.float32)

def load(directory, threads):
    {load}
    return Session()
"""


def misbehaving(folder, body="pass", load="pass"):
    return session_artefact(folder, SESSION.format(body=body, load=load))
