"""Optimum Intel by its documentation: an OpenVINO model of static shape, plain, and in int8 by NNCF.

https://huggingface.co/docs/optimum-intel/openvino/optimization: `OVQuantizer` with `OVQuantizationConfig` and a
calibration set, `reshape` to a static shape, the performance hint LATENCY.
"""

import sys

try:
    import torchvision  # noqa: F401 - optimum-intel asks for it
except (
    ImportError,
    RuntimeError,
):  # not there, or built for CUDA beside torch for the CPU; for texts nobody needs it
    sys.modules["torchvision"] = None

from datasets import Dataset
from optimum.intel import OVConfig, OVModelForSequenceClassification, OVQuantizationConfig, OVQuantizer
from peer import Peer
from transformers import AutoTokenizer

peer = Peer()
LATENCY = {"PERFORMANCE_HINT": "LATENCY"}
tokenizer = AutoTokenizer.from_pretrained(peer.model)


def exported() -> OVModelForSequenceClassification:
    return OVModelForSequenceClassification.from_pretrained(peer.model, export=True, compile=False)


def save(model: OVModelForSequenceClassification, name: str, label: str) -> None:
    model.reshape(*peer.shape)
    model.save_pretrained(peer.folder(name))
    peer.made(
        label,
        "openvino",
        peer.out / name / "openvino_model.xml",
        settings=LATENCY,
        fixed_shape=peer.shape,
    )


save(exported(), "plain", "as compiled by default (bf16 where there is)")

with peer.attempt("int8"):
    texts = peer.split("train")[0][:300]
    rows = tokenizer(texts, truncation=True, padding="max_length", max_length=peer.max_length)
    model = exported()
    OVQuantizer.from_pretrained(model).quantize(
        ov_config=OVConfig(quantization_config=OVQuantizationConfig(bits=8)),
        calibration_dataset=Dataset.from_dict(dict(rows)),
        save_directory=peer.folder("calibrated"),
    )
    save(model, "int8", "int8")
