"""A real bundle: a hand-made ONNX artefact that answers by the words it sees."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from tuner.candidate import Backend, Candidate, Distillation, Parallel
from tuner.export.bundle import BundleContent
from tuner.export.kinds import CLASSIFIER

WORDS = ["[PAD]", "[UNK]", "goal", "match", "bank", "loan"]
#: Logits a word adds, for the labels sport and business; padding would add 50 if the mask were not heeded.
WEIGHTS = np.array([[0, 50], [0, 0], [3, 0], [2, 0], [0, 3], [0, 2]], dtype=np.float32)


def model(file):
    """Write an ONNX graph: the masked sum of each token's row of WEIGHTS."""
    nodes = [
        helper.make_node("Gather", ["weights", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["logits"], keepdims=0),
    ]
    ints = [
        helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "s"])
        for n in ("input_ids", "attention_mask")
    ]
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", 2])
    constants = [
        numpy_helper.from_array(WEIGHTS, "weights"),
        numpy_helper.from_array(np.array([2]), "last"),
        numpy_helper.from_array(np.array([1]), "middle"),
    ]
    graph = helper.make_graph(nodes, "words", ints, [logits], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)


def estimate(value, half=0.0):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def content(tmp_path):
    artefact, tokens = tmp_path / "artefact", tmp_path / "tokens"
    artefact.mkdir()
    tokens.mkdir()
    model(artefact / "model.onnx")
    described = {
        "engine": "onnxruntime", "device": "cpu", "bits": 32, "scheme": "none", "fixed_shape": None,
        "session": "onnxruntime_session", "model": "model.onnx", "max_length": 8,
        "inputs": ["input_ids", "attention_mask"], "requirements": ["onnxruntime==1.32.0"],
    }  # fmt: skip
    (artefact / "artefact.json").write_text(json.dumps(described))
    (artefact / "entry.json").write_text('{"parts": "of the cache, not of the bundle"}')
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tokens / "tokenizer.json"))
    candidate = Candidate(
        distillation=Distillation(student_layers=2),
        parallel=Parallel(threads=1),
        backend=Backend(engine="onnxruntime"),
    )
    metrics = {
        "accuracy": estimate(0.951, 0.02),
        "latency_ms": estimate(1.25, 0.05),
        "size_mb": estimate(0.5),
    }
    report = {
        "study": "words", "trial": 7, "candidate": candidate.canonical(), "confirmed": True,
        "metrics": metrics, "search_metrics": {**metrics, "accuracy": estimate(0.9632, 0.02)},
        "baseline_ms": 20.0, "host": {"cpu": "Made Up 9000", "cores": [0, 1], "os": "Linux x86_64"},
        "scenario": {"mode": "single-stream", "batch": 1, "sequence_length": 128}, "spec": {"name": "words"},
    }  # fmt: skip
    labels = ["sport", "business"]
    facts = {"pad_token_id": 0, "batch": 1, "max_length": 8}
    about = "A text classifier (sport, business)"
    return BundleContent(
        CLASSIFIER, artefact, tokens, candidate, report, about, facts, {"labels.json": labels}
    )


@pytest.fixture
def fixed(content):
    """The same with a session that travels inside its artefact and takes one shape only."""
    described = json.loads((content.artefact / "artefact.json").read_text())
    described |= {"session": "own_session", "fixed_shape": [1, 4]}
    (content.artefact / "artefact.json").write_text(json.dumps(described))
    (content.artefact / "own_session.py").write_text(
        "import json\n"
        "import numpy as np\n"
        "import onnxruntime as ort\n"
        "class Session:\n"
        "    inputs, fixed_shape = ['input_ids', 'attention_mask'], (1, 4)\n"
        "    def __init__(self, folder):\n"
        "        self.model = ort.InferenceSession(str(folder / 'model.onnx'))\n"
        "    def run(self, inputs):\n"
        "        from runtime.padding import run_padded\n"
        "        def one(chunk):\n"
        "            assert chunk['input_ids'].shape == (1, 4)\n"
        "            return self.model.run(None, {n: chunk[n] for n in self.inputs})[0]\n"
        "        return run_padded(one, inputs, self.fixed_shape)\n"
        "def load(folder, threads):\n"
        "    return Session(folder)\n"
    )
    return replace(content)
