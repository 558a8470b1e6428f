"""A pipeline without engines: made-up numbers that only the candidate decides, and workers that run it.

`python -m tests.service.stub --db URL --name N [--drain]` is such a worker in a process of its own.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tuner.backends.base import Offer
from tuner.candidate import Candidate
from tuner.errors import JobError, TunerError
from tuner.faults import fault
from tuner.hardware import Host
from tuner.metrics import Estimate, Metrics
from tuner.pipeline.cache import Entry
from tuner.pipeline.evaluate import Evaluation
from tuner.pipeline.gate import Gate
from tuner.service.events import Listener
from tuner.service.pipeline import Confirmation
from tuner.service.progress import Progress
from tuner.service.requires import capabilities
from tuner.service.signals import draining
from tuner.service.worker import Worker
from tuner.spec.model import StudySpec
from tuner.stage import StageRun
from tuner.store import Store, Study

ANATOMY = {"layers": 6, "heads": 12, "ffn": 1536, "hidden": 384, "refused": {}}
OFFERS = [
    ("torch", Offer("cpu", 32)),
    ("onnxruntime", Offer("cpu", 32)),
    ("onnxruntime", Offer("cpu", 8, "dynamic")),
    ("openvino", Offer("cpu", 32, fixed_shape=True)),
    ("openvino", Offer("cpu", 8, "static", fixed_shape=True)),
]
BASE_MS = 40.0
_FACTOR = {"torch": 1.0, "onnxruntime": 1.7, "openvino": 2.4}

Failing = Callable[[Candidate], TunerError | None]


def latency_ms(candidate: Candidate) -> float:
    """Return the made-up latency: a smooth trade, engine factors, and a little that tells equals apart."""
    width = (1 - candidate.pruning.heads / 3) * (1 - candidate.pruning.ffn / 1.5)
    work = candidate.distillation.student_layers / 6 * width * {32: 1.0, 8: 0.45}[candidate.quantization.bits]
    threads = 2 / (1 + 0.6 * (candidate.parallel.threads - 1)) / 1.25
    fixed = 0.85 if candidate.backend.fixed_shape else 1.0
    return BASE_MS * work * threads * fixed / _FACTOR[candidate.backend.engine] * (1 + 0.01 * _own(candidate))


def accuracy(candidate: Candidate) -> float:
    """Return the made-up accuracy, 0.96 and less."""
    lost = 0.02 / candidate.distillation.student_layers
    lost += 0.02 * candidate.pruning.ffn**2 + 0.03 * candidate.pruning.heads**2
    return 0.96 - lost - 0.001 * _own(candidate)


def _own(candidate: Candidate) -> float:
    return int(candidate.hash[:4], 16) / 65536


class StubPipeline:
    """A `Pipeline` that takes `seconds` for a candidate; `fail` returns the error that one ends with, or None.

    `slowness` is of the host: another one's latencies are other ones. What was asked of it is kept in `evaluated` and
    `confirmed`.
    """

    def __init__(
        self, seconds: float = 0.0, fail: Failing = lambda candidate: None, slowness: float = 1.0
    ) -> None:
        self.seconds, self.fail, self.slowness = seconds, fail, slowness
        self.evaluated: list[Candidate] = []
        self.confirmed: list[list[Candidate]] = []
        self.prepared = self.closed = 0
        self._aborted, self._remains = threading.Event(), ([], "")

    def anatomy(self, study: Study) -> dict[str, Any]:
        self.prepared += 1
        return dict(ANATOMY)

    def evaluate(self, study: Study, candidate: Candidate, gate: Gate | None = None) -> Evaluation:
        self._aborted.clear()
        self.evaluated.append(candidate)
        stages = [StageRun("build", f"k{candidate.hash}", False, self.seconds)]
        self._remains = (stages, f"built {candidate.label()}")
        fault("in_build")
        if self._aborted.wait(self.seconds):
            raise JobError("aborted", "given up")
        if (error := self.fail(candidate)) is not None:
            raise error
        fault("in_measure")
        key = f"k{candidate.hash}"
        artefact = Entry("build", key, Path("/nowhere") / key, False, self.seconds, {}, "0" * 64)
        quality, correct = _quality(candidate, 0.0)
        return Evaluation(
            candidate, artefact, self._performance(candidate), quality, correct, [[5, 0], [1, 4]], stages
        )

    def confirm(self, study: Study, candidates: Sequence[Candidate]) -> list[Confirmation]:
        self.confirmed.append(list(candidates))
        judged = [(c, *_quality(c, 0.001)) for c in candidates]
        return [Confirmation(c, self._performance(c), q, right, [[5, 0], [0, 5]]) for c, q, right in judged]

    def take_remains(self) -> tuple[list[Any], str]:
        taken, self._remains = self._remains, ([], "")
        return taken

    def others_measure(self) -> bool:
        return False

    def abort(self) -> None:
        self._aborted.set()

    def close(self) -> None:
        self.closed += 1

    def _performance(self, candidate: Candidate) -> dict[str, Any]:
        ms = latency_ms(candidate) * self.slowness
        reference = BASE_MS * self.slowness
        estimate = Estimate(value=1000 / ms, low=990 / ms, high=1010 / ms).model_dump()
        ratio = ms / reference
        return {
            "ratio": Estimate(value=ratio, low=0.99 * ratio, high=1.01 * ratio).model_dump(),
            "reference_ms": reference,
            **dict.fromkeys(("p50_ms", "p90_ms", "p99_ms"), None),
            "throughput": estimate,
            **{"memory_mb": 90.0, "size_mb": 10.0, "energy_j": None},
            **{"samples": [ms, ms], "reference_samples": [reference, reference]},
            **{"pairs": 2, "disturbed": 0, "drift": 0.0, "seconds": self.seconds},
        }


def _quality(candidate: Candidate, lost: float) -> tuple[Metrics, list[bool]]:
    value = accuracy(candidate) - lost
    found = {"accuracy": value, "accuracy_drop": 0.955 - value}
    half = 0.005
    metrics = {n: Estimate(value=v, low=v - half, high=v + half) for n, v in found.items()}
    return metrics, [True, False, True]


def stub_study(name: str = "stub", trials: int | None = 10, **spec: Any) -> dict[str, Any]:
    """Return a valid specification as plain data, of 1000 and some candidates; `spec` replaces whole sections."""
    plain = {
        "name": name,
        "model": {"source": "/nowhere/model"},
        "data": {"source": "/nowhere/data"},
        "constraints": ["accuracy_drop <= 0.05"],
        "axes": {"distillation": {"student_layers": [1, 2, 3, 6]}, "parallel": {"threads": [1, 2]}},
        "budget": {"trials": trials} if trials else {"minutes": 1.0},
        "sampler": "random",
    }
    return StudySpec.model_validate({**plain, **spec}).to_plain()


def stub_host(name: str = "stub", cores: int = 2, memory_mb: int = 8000) -> Host:
    """Return a made-up host. Its name is part of its processor's, so that two names are two kinds of hardware."""
    return Host(
        name=name, cpu=f"Made Up {name}", cores=tuple(range(cores)), flags=(), memory_mb=memory_mb,
        os="Linux x86_64", python="3.11", meters=(), compiler=None,
    )  # fmt: skip


def stub_worker(
    store: Store,
    name: str,
    pipeline: StubPipeline | None = None,
    host: Host | None = None,
    offers: Sequence[tuple[str, Offer]] = OFFERS,
    labels: dict[str, str] | None = None,
    listen: Listener | None = None,
    **options: Any,
) -> Worker:
    """Return a worker with made-up capabilities; `options` are those of `Worker` (only, once, drain, lease_s, …)."""
    host = host or stub_host()
    options = {"poll_s": 0.02, **options}
    able = capabilities(host, offers, labels)
    return Worker(store, name, host, able, pipeline or StubPipeline(), Progress(store, listen), **options)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a worker in this process: the first SIGTERM or SIGINT drains it, the second one aborts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--db", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--drain", action="store_true")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--seconds", type=float, default=0.0, help="that a candidate takes")
    parser.add_argument("--host", default="stub")
    parser.add_argument("--poll", type=float, default=0.05)
    given = parser.parse_args(arguments)
    with Store.open(given.db) as store:
        worker = stub_worker(
            store, given.name, StubPipeline(given.seconds), stub_host(given.host), drain=given.drain,
            once=given.once, poll_s=given.poll, listen=lambda event: print(event.message, flush=True),
        )  # fmt: skip

        def drain() -> None:
            worker.draining = True
            worker.wake()

        with draining(drain, lambda: worker.draining):
            worker.run()


if __name__ == "__main__":
    main()
