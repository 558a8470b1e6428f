"""Microsoft Olive's search: conversion, transformer optimisation, quantization, tuning of the session.

The configuration is that of Olive's BERT example for the CPU (https://microsoft.github.io/Olive/), with our data, and
two changes that Olive 0.13 needs: the sampler is `random`, for its TPE can loop for ever; and the patch below.
"""

import json
from pathlib import Path

from olive.engine.footprint import FootprintNode
from olive.workflows import run
from peer import Peer

MARGIN = (
    150  # seconds: `max_time` counts from the first sample, after the baseline, and the last one may be long
)
peer = Peer()


def update(node: FootprintNode, **values: object) -> None:
    for name, value in values.items():
        setattr(node, "model_config_data" if name == "model_config" else name, value)


# pydantic 2 refuses to set the alias `model_config`: without this every sample after the first one fails.
FootprintNode.update = update


def data(split: str) -> str:
    file = peer.out / f"{split}.jsonl"
    rows = [{"text": text, "label": label} for text, label in zip(*peer.split(split), strict=True)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


config = json.loads((Path(__file__).parent / "config.json").read_text())
config["input_model"]["model_path"] = peer.model
for entry in config["data_configs"]:
    entry["load_dataset_config"]["data_files"] = data(entry["name"])
    entry["pre_process_data_config"]["max_length"] = peer.max_length
    entry["pre_process_data_config"]["model_name"] = peer.model
config["evaluators"]["both"]["metrics"][0]["sub_types"][0]["metric_config"]["num_classes"] = len(peer.labels)
config["passes"]["tuning"]["cpu_cores"] = peer.cores
config["search_strategy"]["max_time"] = max(int(peer.seconds_left()) - MARGIN, 1)
config["cache_dir"], config["output_dir"] = str(peer.out / "cache"), str(peer.out / "output")

found = run(config)
for number, model in enumerate(found.get_output_models(), 1):
    metrics, passes = model.metrics_value, list(found.trace_back_run_history(model.model_id).values())
    how = next((c for c in passes if c and "quant_mode" in c), {})
    said = [str(how.get(name)) for name in ("quant_mode", "precision")]
    said += ["per channel"] * bool(how.get("per_channel")) + [str(how["quant_format"])] * ("static" in said)
    peer.made(
        f"{number}: {' '.join(said)}",
        "onnx",
        Path(model.model_path),
        settings=model.get_inference_config().get("session_options", {}),
        accuracy=metrics["accuracy-accuracy_score"]["value"],
        latency_ms=metrics["latency-avg"]["value"],
    )
