"""Pipeline: what a worker needs of the machinery below; and the real one, which keeps a place for each study."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from tuner.candidate import Candidate
from tuner.errors import JobError, TunerError
from tuner.hardware import Host
from tuner.measure.client import kill_all
from tuner.metrics import Metrics
from tuner.pipeline.bench import Bench
from tuner.pipeline.cache import Cache, Entry
from tuner.pipeline.evaluate import Evaluation, build_candidate, evaluate
from tuner.pipeline.gate import Gate, GivenUp
from tuner.pipeline.jobs import Jobs
from tuner.pipeline.prepare import Prepared, prepare
from tuner.pipeline.quality import answers, judge
from tuner.pipeline.quiet import Quiet
from tuner.pipeline.remarks import remarks
from tuner.pipeline.workshop import Workshop, job_limits
from tuner.spec.model import StudySpec
from tuner.store import Study, tuner_home

_PLACES = 2  # studies at hand: each holds a reference worker in memory


@dataclass(frozen=True)
class Confirmation:
    """What was measured of a finalist: performance interleaved with the others, quality on the test split."""

    candidate: Candidate
    performance: dict[str, Any]
    quality: Metrics
    correct: list[bool]
    confusion: list[list[int]]


class Pipeline(Protocol):
    """A candidate through the stages on this host. All but `abort` are called from one thread."""

    def anatomy(self, study: Study) -> dict[str, Any]:
        """Prepare data and teacher, and return what the teacher's structure allows; `remarks` are for people.

        Raises:
            InputError: data or model cannot be used here.
        """
        ...

    def evaluate(self, study: Study, candidate: Candidate, gate: Gate | None = None) -> Evaluation | GivenUp:
        """Return what was measured of a candidate, until its end or until the gate gave it up.

        Raises:
            BuildError, UnsupportedError, JobError: why it could not be.
        """
        ...

    def confirm(self, study: Study, candidates: Sequence[Candidate]) -> list[Confirmation]:
        """Measure finalists again, in one interleaved run, and judge them on the test split."""
        ...

    def take_remains(self) -> tuple[list[Any], str]:
        """Return stages and last log lines of the candidate that was evaluated last, also of one that failed."""
        ...

    def others_measure(self) -> bool:
        """Say whether somebody measures on this machine: who has nothing to do keeps still meanwhile."""
        ...

    def abort(self) -> None:
        """End what is being done, from any thread: the call at hand fails."""
        ...

    def close(self) -> None:
        """End all children."""
        ...


@dataclass
class _Place:
    """A study made ready on this host."""

    shop: Workshop
    ready: Prepared
    bench: Bench


class Works:
    """The real pipeline: jobs in children of one zygote, one bench for each study at hand."""

    def __init__(self, host: Host, stage: Callable[[str], None] = lambda name: None) -> None:
        self._host, self._stage = host, stage
        self._cache, self._quiet = Cache(tuner_home() / "cache"), Quiet(waiting=self._still_wanted)
        self._jobs: Jobs | None = None
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._last: Workshop | None = None
        self._aborted = False

    def anatomy(self, study: Study) -> dict[str, Any]:
        """See `Pipeline`."""
        ready = self._at(study).ready
        return {**ready.description, "remarks": remarks(ready.data.info)}

    def evaluate(self, study: Study, candidate: Candidate, gate: Gate | None = None) -> Evaluation | GivenUp:
        """See `Pipeline`."""
        place = self._at(study)
        return evaluate(place.shop, place.ready, place.bench, candidate, gate)

    def confirm(self, study: Study, candidates: Sequence[Candidate]) -> list[Confirmation]:
        """See `Pipeline`."""
        place = self._at(study)
        built = [pair for c in candidates if (pair := self._rebuilt(place, c)) is not None]
        base = answers(place.shop, place.ready, place.bench.reference_artefact, "test")
        found = []
        for (entry, candidate), performance in zip(built, _measured(place.bench, built), strict=True):
            own = answers(place.shop, place.ready, entry, "test")
            found.append(
                Confirmation(candidate, performance, *judge(place.shop, place.ready, "test", own, base))
            )
        place.shop.take_runs()
        return found

    def take_remains(self) -> tuple[list[Any], str]:
        """See `Pipeline`."""
        runs = [] if self._last is None else self._last.take_runs()
        return runs, "" if self._jobs is None else self._jobs.take_logs()

    def others_measure(self) -> bool:
        """See `Pipeline`."""
        return self._quiet.measures()

    def abort(self) -> None:
        """See `Pipeline`."""
        self._aborted = True
        if self._jobs is not None:
            self._jobs.abort()
        kill_all()

    def close(self) -> None:
        """See `Pipeline`."""
        while self._places:
            self._places.popitem()[1].bench.close()
        if self._jobs is not None:
            self._jobs.close()
            self._jobs = None

    def _still_wanted(self) -> None:
        if self._aborted:
            raise JobError("aborted", "given up while it waited for the machine")

    def _at(self, study: Study) -> _Place:
        """Return the study's place, made ready if it is not at hand; the one not used for longest makes room."""
        self._aborted = False
        place = self._places.pop(study.id, None) or self._opened(study)
        self._places[study.id] = place
        place.shop.jobs.limits = job_limits(place.shop.spec.limits, self._host)
        self._last = place.shop
        self.take_remains()
        return place

    def _opened(self, study: Study) -> _Place:
        if len(self._places) >= _PLACES:
            self._places.popitem(last=False)[1].bench.close()
        spec = StudySpec.model_validate(dict(study.spec))
        if self._jobs is None:
            self._jobs = Jobs(job_limits(spec.limits, self._host), tuner_home() / "jobs")
        shop = Workshop(spec, self._cache, self._jobs, self._host, self._stage, self._quiet)
        with ExitStack() as stack:
            ready = prepare(shop)
            bench = stack.enter_context(Bench(shop, ready))
            stack.pop_all()
        return _Place(shop, ready, bench)

    def _rebuilt(self, place: _Place, candidate: Candidate) -> tuple[Entry, Candidate] | None:
        try:
            return build_candidate(place.shop, place.ready, candidate), candidate
        except TunerError:  # its cache is gone and it does not build again: the others still count
            return None


def _measured(bench: Bench, built: list[tuple[Entry, Candidate]]) -> list[dict[str, Any]]:
    """Return performances measured in one interleaved run; one by one where that fails (too little memory)."""
    try:
        return [found.to_json() for found in bench.together(built)]
    except JobError:
        return [bench.together([pair])[0].to_json() for pair in built]
