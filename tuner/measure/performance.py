"""Performance: latency, throughput, memory, size and energy of artefacts, beside the study's reference."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tuner.errors import UnsupportedError
from tuner.gpus import Gpu
from tuner.hardware import this_host
from tuner.measure.client import Serving, ServingLimits, run_blocks
from tuner.measure.duet import BLOCK, LONG, SHORT, Rhythm, Subject, duet
from tuner.measure.energy import energy_of
from tuner.measure.exclusive import shared, wait_for
from tuner.measure.gpu import account, cards_of, device_of, states
from tuner.measure.responses import response_metrics
from tuner.measure.stats import mean, percentile
from tuner.measure.under_load import Demand, Ground, Served, under_load
from tuner.metrics import Estimate
from tuner.runtime.split import Split
from tuner.spec.scenario import Scenario

_CALLS = 64  # differing calls of a plan
_CYCLE = 8  # documents of one stratified pass over the data's own lengths; divides the calls
_ENERGY_BLOCK = 1.0  # seconds: meters tick every millisecond or so


@dataclass(frozen=True)
class Plan:
    """The calls of a scenario: `NAME.INDEX` arrays (batch, sequence), and how many samples one call holds.

    Each `cycle` calls in a row are alike in their lengths, so blocks of whole cycles can be compared. A language
    model's plan holds `prompts` (n, tokens) and `new_tokens`; so many `clients` share a subject's replicas. With a
    `demand` the subjects are also put under load.
    """

    arrays: dict[str, np.ndarray]
    batch: int
    cycle: int = 1
    clients: int = 1
    demand: Demand | None = None

    @property
    def calls(self) -> int:
        """Return how many differing calls of documents there are."""
        return sum(name.startswith("input_ids.") for name in self.arrays)

    @property
    def rhythm(self) -> Rhythm:
        """Return how such calls are measured: responses take seconds."""
        return LONG if "prompts" in self.arrays else SHORT

    def clients_of(self, replicas: int) -> int:
        """Return how many clients share one replica, the busiest one."""
        return math.ceil(self.clients / replicas)


class Placed(NamedTuple):
    """An artefact as it is to be run; `draft` is how a language model drafts its answers, None: not at all.

    `slots` is how many clients one replica of a language model answers together. Where `split` divides the model among
    several ranks, `threads` are those of each. Under load a replica answers up to `max_batch` requests together.
    """

    artefact: Path
    threads: int
    replicas: int
    draft: str | None = None
    slots: int = 1
    split: Split = Split()
    max_batch: int = 1


@dataclass(frozen=True)
class Performance:
    """What was measured. Times in ms, memory and size in MB (10^6 bytes), throughput in samples a second.

    `details` has what is known of a language model's responses beside their whole time (see `responses`).

    `samples` and `reference_samples` are all that were taken; all else is of the `pairs` that nobody disturbed, and
    `disturbed` is how many were set aside. `drift` is how far the reference's slowest block lies above its fastest, as
    a share; `seconds` what it all took.

    `cores` is how many the replicas are pinned to; `server` what became of them under load, None where they were not.

    `memory_mb` is what the processes hold in the memory of the device that computes. `energy_j` is joules a sample,
    None without a meter or where others computed on the same GPU. `gpu` is what the GPUs say beside: see `account`,
    with `before` and `after` (see `states`) and who `shared` them; None where none computes.
    """

    ratio: Estimate
    reference_ms: float
    p50_ms: Estimate | None
    p90_ms: Estimate | None
    p99_ms: Estimate | None
    throughput: Estimate
    memory_mb: float
    size_mb: float
    energy_j: Estimate | None
    samples: list[float]
    reference_samples: list[float]
    pairs: int
    disturbed: int
    drift: float
    seconds: float
    details: dict[str, Estimate | None] = field(default_factory=dict)
    gpu: dict[str, Any] | None = None
    cores: int | None = None
    server: Served | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        plain = asdict(self)
        for name in ("ratio", "p50_ms", "p90_ms", "p99_ms", "throughput", "energy_j"):
            estimate = getattr(self, name)
            plain[name] = None if estimate is None else estimate.model_dump()
        plain["server"] = None if self.server is None else self.server.to_json()
        plain["details"] = {k: None if v is None else v.model_dump() for k, v in self.details.items()}
        return plain


def response_plan(prompts: Path, scenario: Scenario) -> Plan:
    """Return the calls of a language model's scenario: the prompts `measure` (n, tokens) of an encoded split."""
    with np.load(prompts) as arrays:
        asked = arrays["measure"]
    given = {"prompts": asked, "new_tokens": np.array(scenario.new_tokens)}
    return Plan(given, batch=1, clients=scenario.clients)


def scenario_plan(inputs: Path, scenario: Scenario, demand: Demand | None = None) -> Plan:
    """Return the calls of a scenario over the documents of an encoded split.

    With a fixed `sequence_length` each document is repeated or cut to exactly that many tokens; with `data` a call has
    the length of its longest document, and the calls are in stratified order. Offline, documents of like length share a
    call.
    """
    with np.load(inputs) as stored:
        given = {name: stored[name] for name in stored.files if name != "labels"}
    if scenario.mode == "offline":
        order = np.argsort(given["attention_mask"].sum(axis=1), kind="stable")
        given = {name: array[order] for name, array in given.items()}
    count = len(given["input_ids"])
    calls = []
    for index in range(_CALLS):
        first = index * scenario.batch
        if scenario.mode == "offline":  # calls from all lengths, though they may not hold all documents
            first = round(index * max(count - scenario.batch, 0) / (_CALLS - 1))
        rows = np.arange(first, first + scenario.batch) % count
        call = {name: array[rows] for name, array in given.items()}
        calls.append(_sized(call, scenario.sequence_length))
    # A call of many documents is about as long as the next: a cycle of several would cost time for nothing.
    cycle = max(_CYCLE // scenario.batch, 1) if scenario.sequence_length == "data" else 1
    ordered = enumerate(_stratified(calls, cycle))
    arrays = {f"{k}.{i}": np.ascontiguousarray(v) for i, call in ordered for k, v in call.items()}
    return Plan(arrays, scenario.batch, cycle, demand=demand)


def _stratified(calls: list[dict[str, np.ndarray]], cycle: int) -> list[dict[str, np.ndarray]]:
    """Return the calls so ordered that each `cycle` of them in a row spans the quantiles of all their lengths.

    A block of 50 ms holds a few calls of a slow subject and many of a fast one: over calls in random order their
    medians would belong to different mixes of lengths (measured: a true ratio of 4.0 read 5.3 to 6.1).
    """
    if cycle == 1:
        return calls
    by_length = sorted(calls, key=lambda call: call["input_ids"].shape[1])
    passes = max(len(calls) // cycle, 1)
    order = np.random.default_rng(0).permutation(passes)  # a measurement that ends early sees no trend
    return [call for start in order for call in by_length[start::passes]]


def _sized(call: dict[str, np.ndarray], length: int | str) -> dict[str, np.ndarray]:
    if isinstance(length, str):
        longest = max(int(call["attention_mask"].sum(axis=1).max()), 2)
        return {name: array[:, :longest] for name, array in call.items()}
    ids = np.stack(
        [
            np.resize(row[mask > 0], length)
            for row, mask in zip(call["input_ids"], call["attention_mask"], strict=True)
        ]
    )
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def measure(
    artefact: Path, threads: int, replicas: int, reference: Serving, plan: Plan, **settings: Any
) -> Performance:
    """Measure one artefact; see `measure_together`."""
    return measure_together([(artefact, threads, replicas)], reference, plan, **settings)[0]


def measure_together(
    subjects: Sequence[Placed | tuple[Path, int, int]],
    reference: Serving,
    plan: Plan,
    precision: float,
    seconds: float,
    percentiles: Sequence[int] = (),
    limits: ServingLimits | None = None,
    loading: AbstractContextManager[object] | None = None,
    alone: AbstractContextManager[object] | None = None,
) -> list[Performance]:
    """Measure placed artefacts interleaved with each other and the reference, in one run.

    They are loaded inside `loading` and measured inside `alone`: an engine's import takes longer than many a
    measurement, and need not keep the machine from others.

    A subject's replicas are pinned to cores of their own and compute at the same time: latency is that under this load,
    throughput theirs together. All serving children stay alive; those that do not compute sleep on a pipe.

    Raises:
        UnsupportedError: more threads than the host has cores.
        JobError: a serving child failed.
    """
    with ExitStack() as stack:
        file = stack.enter_context(_written(plan))
        with loading or nullcontext():
            reference.plan(file, plan.cycle, plan.clients)
            placed = [Placed(*one) for one in subjects]
            found = [
                Subject(
                    [stack.enter_context(s) for s in _replicas(one, limits)],
                    rhythm=plan.rhythm,
                    cards=[card for cards in _cards(one) for card in cards],
                )
                for one in placed
            ]
            for subject, one in zip(found, placed, strict=True):
                for serving in subject.servings:
                    serving.plan(file, plan.cycle, plan.clients_of(one.replicas), one.draft, one.slots)
        with alone or nullcontext():
            cards = [card for subject in found for card in subject.cards]
            wait_for(cards)
            begin, before = time.time(), [states(subject.cards) for subject in found]
            duet(found, reference, precision, seconds, percentiles, plan.cycle)
            after = [states(subject.cards) for subject in found]
            served = [
                _served(s, one.max_batch, reference, plan) for s, one in zip(found, placed, strict=True)
            ]
            taken = [
                _performance(subject, plan, server) for subject, server in zip(found, served, strict=True)
            ]
            beside = shared(cards, begin)
    noted = [{"before": b, "after": a, "shared": beside} for b, a in zip(before, after, strict=True)]
    return [_on_cards(one, more) for one, more in zip(taken, noted, strict=True)]


def _on_cards(found: Performance, more: dict[str, Any]) -> Performance:
    """Add what was noted of the cards; where others computed on them, their energy is not the subject's."""
    if found.gpu is None:
        return found
    return replace(found, gpu={**found.gpu, **more}, energy_j=None if more["shared"] else found.energy_j)


def _replicas(one: Placed, limits: ServingLimits | None = None) -> Iterator[Serving]:
    """Start a subject's replicas, on cores of their own and, where they compute on GPUs, on these in turn."""
    host, each = this_host(), one.threads * one.split.ranks
    if each * one.replicas > len(host.cores):
        ranks = f" x {one.split.ranks} ranks" if one.split.ranks > 1 else ""
        raise UnsupportedError(
            f"{one.replicas} x {one.threads} threads{ranks}, but this host has {len(host.cores)} cores"
        )
    several = len(host.gpus) > 1
    for index, cards in enumerate(_cards(one)):
        cores = host.cores[index * each : (index + 1) * each]
        places = [card.uuid for card in cards] if several else []
        yield Serving(one.artefact, one.threads, cores, limits, places, one.split)


def _cards(one: Placed) -> list[list[Gpu]]:
    return cards_of(this_host(), one.artefact, one.replicas, one.split.ranks)


@contextmanager
def _written(plan: Plan) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan.npz"
        arrays: dict[str, Any] = plan.arrays
        np.savez(file, **arrays)
        yield file


def _served(subject: Subject, most: int, reference: Serving, plan: Plan) -> Served | None:
    """Put a subject under the load that the plan demands."""
    if plan.demand is None:
        return None
    ground = Ground(subject.servings, plan.calls, most, reference, subject.fastest)
    return under_load(ground, plan.demand, mean([r for q in subject.quiet for r in q.rates]).value)


def _performance(subject: Subject, plan: Plan, server: Served | None) -> Performance:
    taken, quiet = subject.quadruples, subject.quiet
    samples, clocks = subject.samples, [quadruple.clock for quadruple in taken]
    throughput = mean([rate * plan.batch for q in quiet for rate in q.rates])
    details = [detail for q in quiet for detail in q.details]
    gpu = account(subject.servings, subject.cards) if subject.cards else None
    return Performance(
        ratio=subject.ratio,
        reference_ms=statistics.median(sample for q in quiet for sample in q.reference),
        p50_ms=percentile(samples, 50),
        p90_ms=percentile(samples, 90),
        p99_ms=percentile(samples, 99),
        throughput=throughput,
        memory_mb=gpu["memory_mb"] if gpu else sum(serving.memory_mb() for serving in subject.servings),
        size_mb=size_mb(subject.servings[0].artefact),
        energy_j=_energy(subject, plan),
        samples=[round(sample, 4) for q in taken for sample in q.samples],
        reference_samples=[round(sample, 4) for q in taken for sample in q.reference],
        pairs=len(quiet),
        disturbed=len(taken) - len(quiet),
        drift=max(clocks) / min(clocks) - 1,
        seconds=subject.spent,
        details=response_metrics(details, throughput),
        gpu=gpu,
        cores=len({core for serving in subject.servings for core in serving.cores}),
        server=server,
    )


def _energy(subject: Subject, plan: Plan) -> Estimate | None:
    def work() -> int:
        return plan.batch * run_blocks(subject.servings, max(_ENERGY_BLOCK, BLOCK), 1, dropped=0).answers

    device = device_of(subject.servings[0].artefact)
    return energy_of(this_host(), work, device, list(dict.fromkeys(subject.cards)))


def size_mb(artefact: Path) -> float:
    """Return the size of an artefact's files on disk in MB, our own description of it aside."""
    files = [p for p in artefact.rglob("*") if p.is_file() and p.name != "entry.json"]
    return sum(p.stat().st_size for p in files) / 1e6
