"""The common ground: the study's model and data made ready by our own stages, and the folder every peer is given."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tuner.backends.torch_eager import has_bf16
from tuner.hardware import Host, this_host
from tuner.measure.performance import Plan, scenario_plan
from tuner.pipeline.bench import Bench
from tuner.pipeline.cache import Cache
from tuner.pipeline.jobs import Jobs
from tuner.pipeline.prepare import Prepared, prepare
from tuner.pipeline.workshop import Workshop, job_limits
from tuner.spec.model import StudySpec

_MODEL = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
#: The test split stays with us.
_SPLITS = ("train", "validation")
_VNNI = ("avx512_vnni", "avx_vnni", "amx_int8")


@dataclass(frozen=True)
class Ground:
    """What all are compared on: the inputs' folder, the test documents (.npz), the timed calls, the fp32 artefact."""

    inputs: Path
    test: Path
    plan: Plan
    reference: Path


def common_ground(spec: StudySpec, home: Path, inputs: Path) -> Ground:
    """Prepare the study under `home` (what is there is kept) and write the folder of inputs anew."""
    host = this_host()
    with Jobs(job_limits(spec.limits, host), home / "jobs") as jobs:
        shop = Workshop(spec, Cache(home / "cache"), jobs, host)
        ready = prepare(shop)
        with Bench(shop, ready) as bench:
            reference = bench.reference_artefact.path
    write_inputs(spec, ready, host, inputs)
    plan = scenario_plan(ready.data.path / "validation.npz", spec.scenario)
    return Ground(inputs, ready.data.path / "test.npz", plan, reference)


def write_inputs(spec: StudySpec, ready: Prepared, host: Host, folder: Path) -> None:
    """Write the folder that every peer reads (`contract/peer.py`)."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "model").mkdir(parents=True)
    for name in _MODEL:
        if (ready.teacher.path / name).exists():
            shutil.copyfile(ready.teacher.path / name, folder / "model" / name)
    for name in _SPLITS:
        shutil.copyfile(ready.data.path / f"{name}_texts.jsonl", folder / f"{name}.jsonl")
    (folder / "inputs.json").write_text(json.dumps(_said(spec, ready, host), indent=1) + "\n")


def _said(spec: StudySpec, ready: Prepared, host: Host) -> dict[str, object]:
    length = spec.scenario.sequence_length
    return {
        "max_length": spec.model.max_length,
        "batch": spec.scenario.batch,
        "sequence_length": spec.model.max_length if isinstance(length, str) else length,
        "labels": ready.labels,
        "cores": len(host.cores),
        "bf16": has_bf16(host),
        "vnni": any(host.has(flag) for flag in _VNNI),
    }
