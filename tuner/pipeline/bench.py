"""Bench: the study's measuring place: one reference worker, kept warm, beside which every candidate is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tuner.candidate import Candidate
from tuner.faults import fault
from tuner.measure.client import Serving
from tuner.measure.performance import (
    Performance,
    Placed,
    Plan,
    measure_together,
    response_plan,
    scenario_plan,
)
from tuner.pipeline.building import reference_artefact, study_baseline
from tuner.pipeline.cache import Entry, code_hash
from tuner.pipeline.prepared import Prepared
from tuner.pipeline.workshop import Workshop, serving_limits
from tuner.runtime.split import Split
from tuner.spec.model import GENERATION

_PERCENTILES = {"latency_p90_ms": 90, "latency_p99_ms": 99, "ttft_p90_ms": 90, "ttft_p99_ms": 99}


class Bench:
    """Measures artefacts against the study's baseline: fp32 PyTorch eager on all cores of the host, or on its GPU.

    The study's first device decides which (`baseline_device`).
    """

    def __init__(self, shop: Workshop, ready: Prepared) -> None:
        self._shop, self._ready = shop, ready
        self.baseline = study_baseline(shop, ready)
        self.reference_artefact = reference_artefact(shop, ready)
        self._reference: Serving | None = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the reference worker."""
        if self._reference is not None:
            self._reference.close()
            self._reference = None

    def performance(self, artefact: Entry, candidate: Candidate) -> Entry:
        """Return latency, throughput, memory and size of an artefact run as the candidate says, cached by host."""

        def taken(_: Path) -> dict[str, Any]:
            return self.together([(artefact, candidate)])[0].to_json()

        return self._shop.stage("performance", self._parts(artefact, candidate), taken)

    def together(self, built: Sequence[tuple[Entry, Candidate]]) -> list[Performance]:
        """Measure several artefacts in one run, interleaved with each other and with the reference."""
        subjects = [_placed(entry, c) for entry, c in built]
        with self._shop.quiet.shared():
            reference = self.reference()
        return measure_together(
            subjects, reference, **self._settings(), loading=self._shop.quiet.shared(), alone=self._alone()
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._shop.quiet.exclusive():
            fault("in_measure")
            yield

    def reference(self) -> Serving:
        """Return the reference worker, started if there is none or if the last one died."""
        if self._reference is None or not self._reference.alive:
            self._reference = Serving(
                self.reference_artefact.path, self.baseline.parallel.threads, self._shop.host.cores
            )
        return self._reference

    def _settings(self) -> dict[str, Any]:
        spec = self._shop.spec
        return {
            "plan": self._plan(),
            "precision": spec.measure.precision,
            "seconds": spec.measure.seconds,
            "percentiles": self._percentiles(),
            "limits": serving_limits(spec, self._shop.host),
        }

    def _plan(self) -> Plan:
        data, scenario = self._ready.data.path, self._shop.spec.scenario
        if self._shop.spec.task == GENERATION:
            return response_plan(data / "prompts.npz", scenario)
        return scenario_plan(data / "validation.npz", scenario)

    def _percentiles(self) -> tuple[int, ...]:
        """Return the percentiles that the study asks for: only for those are enough samples taken."""
        asked = " ".join([*self._shop.spec.objectives, *self._shop.spec.constraints])
        return tuple(number for name, number in _PERCENTILES.items() if name in asked)

    def _asks_data(self) -> bool:
        return self._shop.spec.task == GENERATION or self._shop.spec.scenario.sequence_length == "data"

    def _parts(self, artefact: Entry, candidate: Candidate) -> dict[str, Any]:
        spec = self._shop.spec
        return {
            "artefact": artefact.key,
            "parallel": candidate.parallel.model_dump(mode="json"),
            **({"draft": candidate.backend.draft} if candidate.backend.draft else {}),
            "scenario": spec.scenario.model_dump(mode="json"),
            "measure": spec.measure.model_dump(mode="json"),
            "percentiles": self._percentiles(),
            "data": self._ready.data.key if self._asks_data() else None,
            "reference": self.reference_artefact.key,
            "host": self._shop.host.fingerprint,
            **(
                {"metered": True} if self._shop.host.meters else {}
            ),  # one without joules is no answer any more
            "code": code_hash("tuner.measure", "tuner.runtime"),
        }


def _placed(artefact: Entry, candidate: Candidate) -> Placed:
    run = candidate.parallel
    split = Split(run.tensor, run.pipeline)
    return Placed(artefact.path, run.threads, run.replicas, candidate.backend.draft, run.slots, split)
