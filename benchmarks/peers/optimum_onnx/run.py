"""Optimum ONNX by its documentation: export, its optimization levels, then dynamic and static int8 for AVX512-VNNI.

https://huggingface.co/docs/optimum-onnx/onnxruntime/usage_guides/quantization
"""

from datasets import Dataset
from optimum.onnxruntime import ORTModelForSequenceClassification, ORTOptimizer, ORTQuantizer
from optimum.onnxruntime.configuration import (
    AutoCalibrationConfig,
    AutoOptimizationConfig,
    AutoQuantizationConfig,
)
from peer import Peer
from transformers import AutoTokenizer

peer = Peer()
tokenizer = AutoTokenizer.from_pretrained(peer.model)
quantization = AutoQuantizationConfig.avx512_vnni if peer.vnni else AutoQuantizationConfig.avx2
OPERATORS = ["MatMul", "Gemm"]  # the default list also quantizes the attention mask

exported = peer.folder("exported")
ORTModelForSequenceClassification.from_pretrained(peer.model, export=True).save_pretrained(exported)
peer.made("fp32", "onnx", exported / "model.onnx")

with peer.attempt("fp32, O3"):
    optimizer = ORTOptimizer.from_pretrained(exported)
    optimizer.optimize(optimization_config=AutoOptimizationConfig.O3(), save_dir=peer.folder("optimized"))
    peer.made("fp32, O3", "onnx", peer.out / "optimized" / "model_optimized.onnx")

for source, file in (("exported", "model.onnx"), ("optimized", "model_optimized.onnx")):
    label = f"int8 dynamic, {source}"
    with peer.attempt(label):
        quantizer = ORTQuantizer.from_pretrained(peer.out / source, file_name=file)
        target = peer.folder(f"dynamic-{source}")
        quantizer.quantize(
            save_dir=target, quantization_config=quantization(is_static=False, per_channel=True)
        )
        peer.made(label, "onnx", next(target.glob("*.onnx")))

with peer.attempt("int8 static"):
    rows = tokenizer(
        peer.split("train")[0][:128], truncation=True, padding="max_length", max_length=peer.max_length
    )
    documents = Dataset.from_dict(dict(rows))
    quantizer = ORTQuantizer.from_pretrained(exported)
    ranges = quantizer.fit(
        dataset=documents,
        calibration_config=AutoCalibrationConfig.minmax(documents),
        operators_to_quantize=OPERATORS,
    )
    target = peer.folder("static")
    quantizer.quantize(
        save_dir=target,
        calibration_tensors_range=ranges,
        quantization_config=quantization(is_static=True, per_channel=True, operators_to_quantize=OPERATORS),
    )
    peer.made("int8 static", "onnx", next(target.glob("*.onnx")))
