"""A made-up table, for tests and for trying things out only: no figure from it is a result.

Log-additive latencies with interactions, saturating quality with noise of each student and artefact, and stages that
cost about what they cost on two cores; 4 bits fail for the narrowest shapes.
"""

from __future__ import annotations

import math
import random
from dataclasses import asdict
from typing import Any

import numpy as np

from tuner.backends.base import Offer
from tuner.candidate import Candidate, baseline
from tuner.metrics import Estimate
from tuner.replay.table import Failure, Row, Table
from tuner.search.space import Space
from tuner.spec.model import StudySpec
from tuner.stage import StageRun

ANATOMY = {"layers": 6, "heads": 12, "ffn": 1536, "hidden": 384, "refused": {}}
OFFERS = [
    ("onnxruntime", Offer("cpu", 32)),
    ("onnxruntime", Offer("cpu", 8, "dynamic")),
    ("onnxruntime", Offer("cpu", 8, "static")),
    ("onnxruntime", Offer("cpu", 4, "weight-only", group_sizes=(32,))),
    ("openvino", Offer("cpu", 32, fixed_shape=True)),
    ("openvino", Offer("cpu", 16, fixed_shape=True)),
    ("openvino", Offer("cpu", 8, "static", fixed_shape=True)),
    ("openvino", Offer("cpu", 4, "weight-only", fixed_shape=True, group_sizes=(32,))),
    ("torch", Offer("cpu", 32)),
    ("torch", Offer("cpu", 16)),
    ("torch-compile", Offer("cpu", 32, fixed_shape=True)),
    ("torch-compile", Offer("cpu", 16, fixed_shape=True)),
]
BASE_MS, DOCUMENTS, BASE_ACCURACY = 24.0, 425, 0.965
_SPEED = {"torch": 1.0, "torch-compile": 1.1, "onnxruntime": 1.7, "openvino": 2.4}
_BITS = {"onnxruntime": {8: 1.8, 4: 1.2}, "openvino": {16: 1.5, 8: 2.2, 4: 1.1}}
_BUILD = {"torch": 0.7, "torch-compile": 24.0, "onnxruntime": 2.5, "openvino": 4.0}


def made_up(seed: int = 0, depths: tuple[int, ...] = (1, 2, 3, 6), **spec: Any) -> Table:
    """Return a table over 24 shapes, 12 number formats and 3 ways to run, or over other depths."""
    plain = {
        "name": "made-up",
        "model": {"source": "/nowhere/model"},
        "data": {"source": "/nowhere/data"},
        "constraints": ["accuracy_drop <= 0.01"],
        "axes": {
            "distillation": {"student_layers": list(depths)},
            "pruning": {"heads": [0.0, 0.5, 0.75], "ffn": [0.0, 0.9]},
            "backend": {"fixed_shape": [True]},
            "quantization": {"group_size": [32]},
        },
        "recover": {"steps": 200, "seconds": 18},
        "budget": {"minutes": 60},
        **spec,
    }
    study = StudySpec.model_validate(plain)
    space = Space(study.axes, ANATOMY, OFFERS, 2)
    maker = _Maker(seed)
    wanted = dict.fromkeys([baseline(6, 2), *space.enumerate()])
    meta = {
        "spec": study.model_dump(mode="json"),
        "anatomy": ANATOMY,
        "offers": [[engine, asdict(offer)] for engine, offer in OFFERS],
        "cores": 2,
        "once": {"fine-tune": 40.0},
        "clock_ms": BASE_MS,
    }
    return Table(meta, {c.hash: maker.row(c) for c in wanted})


class _Maker:
    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._base = self._right(baseline(6, 2), 0.0)

    def row(self, c: Candidate) -> Row:
        stages = self._stages(c)
        if c.quantization.bits == 4 and c.pruning.ffn > 0.5 and c.pruning.heads > 0.5:
            failed = [*stages[:-3], StageRun("failed", c.hash, False, 3.0)]
            return Row(c, {}, None, np.zeros(0, bool), tuple(failed), Failure("build", "outputs disagree"))
        ms = self._latency(c)
        right = (
            self._base if c.is_unshaped(6) and c.quantization.bits == 32 else self._right(c, self._lost(c))
        )
        lost, accuracy = float(self._base.mean() - right.mean()), float(right.mean())
        metrics = {
            "accuracy": _around(accuracy, 0.018),
            "accuracy_drop": _around(lost, 0.014),
            "latency_ms": Estimate(value=ms, low=0.97 * ms, high=1.03 * ms),
            "speedup": Estimate.exact(BASE_MS / ms),
            "throughput": Estimate.exact(1000 / ms * c.parallel.replicas),
            "memory_mb": Estimate.exact(100.0),
            "size_mb": Estimate.exact(20.0),
        }
        ratio = Estimate(value=ms / BASE_MS, low=0.97 * ms / BASE_MS, high=1.03 * ms / BASE_MS)
        return Row(c, metrics, ratio, right, tuple(stages))

    def _draw(self, *parts: object) -> float:
        return random.Random(f"{self._seed}:{parts}").gauss(0, 1)

    def _latency(self, c: Candidate) -> float:
        q, b, leg = c.quantization, c.backend, (c.backend.engine, c.quantization.bits, c.quantization.scheme)
        work = c.distillation.student_layers / 6 * (0.4 * (1 - c.pruning.heads) + 0.6 * (1 - c.pruning.ffn))
        speed = _SPEED[b.engine] * _BITS.get(b.engine, {16: 2.0}).get(q.bits, 1.0)
        floor = 0.015 * (1 if b.engine != "torch" else 4)
        work = (work + floor) * math.exp(0.12 * self._draw("x", c.student[:3], leg))
        way = {(2, 1): 1.0, (1, 1): 1.6, (1, 2): 1.75}[c.parallel.threads, c.parallel.replicas]
        noise = math.exp(0.02 * self._draw("ms", c.hash))
        return BASE_MS * work / speed * way * noise / (1 + 0.015)

    def _lost(self, c: Candidate) -> float:
        layers, heads, ffn, _ = c.student
        lost = (
            0.012 / layers
            - 0.002
            + 0.004 * heads * (1 + 2 / layers)
            + 0.004 * ffn
            + 0.004 * self._draw("s", c.student[:3])
        )
        lost += {32: 0, 16: 0, 8: 0.001, 4: 0.006}[c.quantization.bits] * (
            1 + 0.5 * self._draw("q", c.student[:3])
        )
        return lost if not c.is_unshaped(6) else max(lost, 0)

    def _right(self, c: Candidate, lost: float) -> np.ndarray:
        """Return which documents are right: the same hard ones are wrong for all, and some more."""
        rng = np.random.default_rng(self._seed)
        hard = rng.random(DOCUMENTS) + 0.02 * np.random.default_rng(
            abs(hash(c.student[:3])) % 2**32
        ).standard_normal(DOCUMENTS)
        wrong = round(DOCUMENTS * min(max(1 - BASE_ACCURACY + lost, 0.005), 0.9))
        return np.argsort(np.argsort(hard)) >= wrong

    def _stages(self, c: Candidate) -> list[StageRun]:
        layers, heads, ffn, _ = c.student
        student, q, b = str(c.student[:3]), c.quantization, c.backend
        leg = f"{student}:{b.engine}:{q.bits}:{q.scheme}"
        size = 0.4 + 0.6 * layers / 6
        found = []
        if not c.is_unshaped(6):
            found += [("importance", "i", 3.0), ("shape", student, 0.8), ("teacher-outputs", "t", 9.0)]
            found += [("recover", student, min(4 + 4 * layers * (1.2 - 0.5 * (heads + ffn) / 2), 19.0))]
        if b.engine == "onnxruntime":
            found.append(("export", student, 5.0 * size))
        extra = 5.0 if q.scheme == "static" else 1.0 if q.bits < 16 else 0.0
        found.append(("build", leg, (_BUILD[b.engine] + extra) * size))
        start = 2.5 if b.engine.startswith("torch") else 0.8
        found.append(("performance", c.hash, start + 2.0))
        found.append(("quality", leg, start + DOCUMENTS * self._latency(c) / 1000))
        return [StageRun(name, f"{name}:{key}", False, seconds) for name, key, seconds in found]


def _around(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)
