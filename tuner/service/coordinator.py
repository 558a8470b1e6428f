"""Coordinator: the only one who talks to Optuna. It looks at a study, tells what came back, and asks for what is next.

Whoever has a free moment is the coordinator of a study, under a lease, for the time of one look. The store is written
first and Optuna told second; the next look settles what a crash left between the two.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from tuner.candidate import Candidate
from tuner.errors import InputError, LeaseLostError
from tuner.pipeline.gate import Gate
from tuner.search.across import Across
from tuner.service.budget import Spent
from tuner.service.confirm import confirm, finalists, unconfirmed_hosts
from tuner.service.heart import Heart
from tuner.service.pipeline import Pipeline
from tuner.service.points import is_baseline
from tuner.service.progress import Progress
from tuner.service.prospects import Prospects
from tuner.service.requires import (
    Capabilities,
    absent,
    offers_in,
    plain_offers,
    required,
    slots,
    study_required,
    study_unmet,
    unmet,
)
from tuner.service.summary import summarise
from tuner.service.view import View, space_of
from tuner.spec.model import StudySpec
from tuner.store import Store, Worker
from tuner.store.leases import CUT_OFF, lease_of
from tuner.store.optuna_storage import open_optuna_storage
from tuner.store.records import Study, Trial
from tuner.store.retry import patiently

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from tuner.hardware import Host

Upto = Literal["hear", "ask", "confirm"]  # how far a look goes

_SEARCHING = ("queued", "running")
_REPEATS = 10  # so many known candidates in a row, and the next one is drawn among those not tried yet
_ROLL = 0.2  # seconds for which it is taken as known who is there
_AHEAD = 2  # candidates queued for each worker, at most, when those that are queued are not for this one


@dataclass
class Coordinator:
    """One worker's coordinating half. It keeps its view of each study from one look to the next.

    `alone`: the worker is confined to one study, and what is wrong with that is raised for its caller to say.
    """

    store: Store
    me: Worker
    host: Host
    pipeline: Pipeline
    heart: Heart
    progress: Progress
    lease_s: float
    alone: bool = False
    views: dict[str, View] = field(default_factory=dict)
    specs: dict[str, tuple[Mapping[str, Any], StudySpec]] = field(default_factory=dict)
    prospects: dict[tuple[str, int, str | None], Prospects] = field(
        default_factory=dict
    )  # by study, epoch, host
    refused: set[str] = field(default_factory=set)  # studies whose data or model cannot be used on this host
    _storage: RDBStorage | None = None
    _roll: list[Worker] = field(default_factory=list)
    _roll_called: float = -math.inf

    def look(self, study: Study, idle: bool = False, upto: Upto = "confirm") -> Study | None:
        """Do what a study needs, if nobody else does; return it as it is then, None if there was nothing to do.

        `idle`: this worker found nothing to run, though there may be trials queued for others. `upto`: hear what came
        back, also ask for what is next, or also confirm the front where the search is over.
        """
        if not self._needed(study, idle):
            return None
        claimed = self.store.claim_study(study.id, self.me.name, self.lease_s)
        if claimed is None:
            return None
        (study, inherited), settled = claimed, False
        with self.heart.holding(lease_of(study)):
            try:
                looked = self._looked(study, inherited, idle, upto)
                settled = True
                return looked
            except LeaseLostError as error:  # cancelled, or this process was frozen: another goes on
                self._lost(study, error)
            except InputError as error:
                found, settled = self._refuse(study, error), True
                if self.alone:
                    raise
                return found
            except Exception as error:
                if self._is_ours(study):
                    raise
                self._lost(study, error)  # aborted, or in the way of another who coordinates it by now
            finally:
                self.store.release_study(study, settled)
        return None

    def _lost(self, study: Study, error: Exception) -> None:
        self.views.pop(study.id, None)
        self.progress.note(str(error), study)

    def _is_ours(self, study: Study) -> bool:
        found = self.store.find_study(study.name)
        return found is not None and lease_of(found) == lease_of(study)

    def _needed(self, study: Study, idle: bool) -> bool:
        """Say whether a look is worth a lease: read only, since every worker asks it all the time."""
        if study.id in self.refused:
            return False
        if not study.meta.get("anatomy"):
            spec, there = self._spec(study), (w.capabilities for w in self._live())
            return study_unmet(spec, self.me.capabilities) is None and not absent(spec, there)
        if study.state == "confirming":
            return self._confirms(study)
        counts, untold = self.store.pulse(study)
        if study.state == "stopping":
            return untold or not counts.get("running", 0)
        if study.state in CUT_OFF:
            return untold
        active = counts.get("queued", 0) + counts.get("running", 0)
        return untold or active < self._wanted(study, counts, idle)

    def _looked(self, study: Study, inherited: bool, idle: bool, upto: Upto) -> Study:
        if not study.meta.get("anatomy"):
            study = self._prepared(study)
        view = self._view(study, inherited)
        study = self._caught_up(view, study, anew=inherited)
        if upto == "hear" or study.state in CUT_OFF:
            return study
        if study.state == "stopping":
            return self._caught_up(view, self._drained(study))
        if study.state in _SEARCHING and self._ask_all(view, study, idle):
            study = self._caught_up(view, study)  # what ended since we listened is the last: nothing runs
            self._remark(study, [view.ended] if view.ended else [])
            study = self.store.move_study(study, "confirming") if study.state in _SEARCHING else study
        if study.state == "confirming" and upto == "confirm":
            study = self._confirm(view, study)
        return study

    def _caught_up(self, view: View, study: Study, anew: bool = False) -> Study:
        """Hear what came back and sum it up; `anew`: who coordinated before may have died between the two."""
        heard = self._hear(view, study)
        return self._summarised(view, study, heard) if heard or anew else study

    def _drained(self, study: Study) -> Study:
        return replace(self.store.drained(study), worker=study.worker, token=study.token)

    # -- before the first trial

    def _prepared(self, study: Study) -> Study:
        """Fine-tune and describe the teacher here, once, and write down what the search needs to know."""
        self.progress.preparing(study)
        spec, having = self._spec(study), [self.me.capabilities]
        if spec.hosts != "one":
            having += [w.capabilities for w in self._live() if study_unmet(spec, w.capabilities) is None]
        meta = {
            "anatomy": self.pipeline.anatomy(study),
            "offers": plain_offers(offers_in(*having, task=spec.task)),
            "cores": max(int(each["cores"]) for each in having),
            "hosts": {name: _able(spec, having, name) for name in spec.axes.backend.hosts or ()},
        }
        study = self.store.move_study(study, "running", host=self.host, meta=meta)
        self._remark(study, [*study.meta["anatomy"].get("remarks", []), *space_of(study, spec).notes])
        self.progress.begun(study)
        return study

    def _remark(self, study: Study, remarks: list[str]) -> None:
        """Say, and write down, what was done to the data, and what of the study cannot be done here and why."""
        for text in remarks:
            self.progress.note(text, study)
            self.store.add_event("remark", text, study)

    def _refuse(self, study: Study, error: InputError) -> Study:
        """Note that this host cannot use the study's data or model: it fails, unless another host has begun it."""
        self.refused.add(study.id)
        if not self.alone:
            self.progress.note(f"study {study.name}: {error}", study)
        if not self.store.trials(study):
            study = self.store.move_study(study, "failed", meta={"error": str(error)})
        self.store.add_event("failed", str(error), study)
        return study

    def _view(self, study: Study, inherited: bool) -> View:
        view = self.views.get(study.id)
        if view is None or view.epoch != study.epoch:
            self._storage = self._storage or patiently(self.store, lambda: open_optuna_storage(self.store))
            view = self.views[study.id] = View.of(self.store, study, self._storage)
        elif inherited:
            view.settle(study)
        return view

    # -- what came back

    def _hear(self, view: View, study: Study) -> list[Trial]:
        found = self.store.untold(study)
        for trial in found:
            view.hear(study, trial)
        return found

    def _summarised(self, view: View, study: Study, heard: list[Trial]) -> Study:
        study = self.store.move_study(study, summary=self._summary(self._fresh(study), view.complete(study)))
        dead = next(
            (
                t
                for t in heard
                if t.state == "failed" and is_baseline(study, t.candidate) and (t.seed or t.retry_of)
            ),
            None,
        )
        if dead is not None:  # everything is held against it: no fault of a candidate
            why = f"the baseline could not be measured: {dead.kind}: {dead.reason}"
            self.store.add_event("failed", why, study)
            study = self.store.move_study(study, "failed", meta={"error": why})
        return study

    def _summary(self, study: Study, trials: list[Trial]) -> dict[str, Any]:
        return summarise(study, trials, self.store.spans(study))

    def _fresh(self, study: Study) -> Study:
        """Return the study with the clocks that workers have moved since it was claimed; the lease stays ours."""
        return replace(self.store.get_study(study.name), worker=study.worker, token=study.token)

    # -- what is next

    def _ask_all(self, view: View, study: Study, idle: bool) -> bool:
        """Queue as many candidates as there are workers for; True if the search is at its end."""
        counts = self.store.counts(study)
        active = counts.get("queued", 0) + counts.get("running", 0)
        wanted = self._wanted(study, counts, idle)
        spent = Spent.of(self.store.spans(study))  # read last: what ends meanwhile counts twice
        while active < wanted and not spent.over(view.spec.budget, active):
            if not self._ask(view, study):
                return active == 0
            active += 1
        return active == 0 and spent.over(view.spec.budget)

    def _ask(self, view: View, study: Study) -> bool:
        """Queue one new candidate; False if there is none left."""
        known = self.store.hashes(study)
        prospects = self._all_prospects(study)
        opened = all(c.hash in known for c in view.opening)
        if prospects and opened and all(each.begun(study) for each in prospects):
            chosen = self._promising(prospects, view, study, known)
            return chosen is not None and self._queue(view, study, chosen, seed=False)
        seed = next((c for c in view.seeds if c.hash not in known), None)
        if seed is not None:
            return self._queue(view, study, seed, seed=True)
        while view.repeats < _REPEATS:
            if self._queue(view, study, None, seed=False):
                return True
        untried = view.space.untried(known, Random(f"{view.spec.seed}:{len(known)}"))
        return untried is not None and self._queue(view, study, untried, seed=False)

    def _promising(
        self, prospects: Sequence[Prospects], view: View, study: Study, known: set[str]
    ) -> Candidate | None:
        """Return what a stage-aware study tries next; None where nothing is left, or too little is expected.

        Where each host has a front of its own, the one for which least was tried comes first.
        """
        auto, most = view.spec.budget.auto, 0.0
        for each in sorted(prospects, key=lambda each: each.tried(study)):
            share = math.inf if auto is None else each.promise(study, known, auto)
            most = max(most, share)
            if (auto is None or share >= auto.share) and (found := each.next(study, known)) is not None:
                return found
        if auto is not None and most < auto.share:
            promised = f"{auto.minutes:g} more minutes promise {most:.2%} of the hypervolume"
            view.ended = f"{promised}: the search ends"
        return None

    def _queue(self, view: View, study: Study, fixed: Candidate | None, seed: bool) -> bool:
        """Store a candidate as a queued trial; False if it was known and so answered at once.

        A seed outside the space is ours alone: Optuna never hears of it.
        """
        number: int | None = None
        candidate = fixed
        if candidate is None or candidate in view.space:
            number, candidate = view.ask(study, fixed)
        try:
            return self._stored(view, study, number, candidate, seed)
        except LeaseLostError:
            if number is not None:
                view.drop(number)
            raise

    def _stored(self, view: View, study: Study, number: int | None, candidate: Candidate, seed: bool) -> bool:
        known = self.store.find_trial(study, candidate)
        if known is None:
            needs = required(view.spec, candidate, self._bound(view.spec, study))
            self.store.new_trial(study, number, candidate, seed, needs)
            view.repeats = 0
            return True
        view.repeats += 1
        if known.state in ("queued", "running") or known.discarded_at is not None:
            view.drop(number) if number is not None else None
        else:
            repeated = self.store.repeat_trial(study, number, candidate, known)
            self.progress.repeated(study, repeated, known)
            view.hear(study, repeated)
        return False

    def _bound(self, spec: StudySpec, study: Study) -> str | None:
        return study.host.fingerprint if spec.hosts == "one" and study.host is not None else None

    # -- the end

    def _confirms(self, study: Study) -> bool:
        """Say whether this host has finalists to confirm, or nobody else is there to do it."""
        left = unconfirmed_hosts(study, self.store.trials(study, ("complete",)))
        live = {w.capabilities["hardware"] for w in self._live()}
        return self.host.fingerprint in left or not set(left) & live

    def _confirm(self, view: View, study: Study) -> Study:
        """Confirm what this host measured; the study is finished when every host that is there has done so."""
        study, mine = self._fresh(study), self.host.fingerprint
        trials = self._standing(study)
        if mine in unconfirmed_hosts(study, trials):
            chosen = finalists(study, trials, mine)
            self.progress.confirming(study, len(chosen))
            confirm(self.store, study, self.pipeline, chosen, self.host)
            trials = self._standing(study)
        left = set(unconfirmed_hosts(study, trials))
        if left & {w.capabilities["hardware"] for w in self._live()} - {mine}:
            return self.store.move_study(study, summary=self._summary(study, trials))
        view.trials = {t.id: t for t in trials}
        study = self.store.move_study(study, "finished", summary=self._summary(study, trials))
        self.store.add_event(study.state, f"study {study.name} is {study.state}", study)
        return study

    def _standing(self, study: Study) -> list[Trial]:
        return [t for t in self.store.trials(study, ("complete",)) if t.discarded_at is None]

    # -- who is there

    def _spec(self, study: Study) -> StudySpec:
        if study.id not in self.specs or self.specs[study.id][0] != study.spec:
            self.specs[study.id] = (study.spec, StudySpec.model_validate(dict(study.spec)))
        return self.specs[study.id][1]

    def gate(self, study: Study, trial: Trial) -> Gate | None:
        """Return who may give a trial up before all of it is paid for; None where nobody does."""
        prospects = [] if trial.seed else self._all_prospects(study)
        mine = [each for each in prospects if each.host in (None, trial.candidate.backend.host)]
        return mine[0].gate(study, trial.candidate, self.host) if mine else None

    def _all_prospects(self, study: Study) -> list[Prospects]:
        """Return a stage-aware study's prospects, for each front by itself; none of other studies."""
        spec = self._spec(study)
        if spec.sampler != "stage-aware":
            return []
        hosts = spec.axes.backend.hosts if spec.hosts == "each" else None
        return [self._prospects(study, spec, host) for host in hosts or (None,)]

    def _prospects(self, study: Study, spec: StudySpec, host: str | None) -> Prospects:
        """Return the prospects of a host or of all, read anew where trials were discarded."""
        key = (study.id, study.epoch, host)
        if key not in self.prospects:
            whole = space_of(study, spec)
            space = whole.only(host) if isinstance(whole, Across) and host else whole
            self.prospects[key] = Prospects.of(self.store, study, spec, space, host)
        return self.prospects[key]

    def takes_part(self, study: Study) -> bool:
        """Say whether there can be something for this worker to do in a study: if not, it need not wait for it."""
        spec = self._spec(study)
        if not study.meta.get("anatomy"):
            return study_unmet(spec, self.me.capabilities) is None
        return unmet(self._needs(spec, study), self.me.capabilities) is None

    def _needs(self, spec: StudySpec, study: Study) -> dict[str, Any]:
        return {**study_required(spec), "engine": None, "hardware": self._bound(spec, study)}

    def _live(self) -> list[Worker]:
        """Return who is there, as of a moment ago: every look asks it, some of them three times."""
        if time.monotonic() - self._roll_called > _ROLL:
            self._roll, self._roll_called = self.store.workers(), time.monotonic()
        return [w for w in self._roll if w.stopped_at is None and w.silent_s < self.lease_s]

    def _wanted(self, study: Study, counts: Mapping[str, int], idle: bool) -> int:
        """Return how many candidates should be queued or run: as many as the workers can run that can take part."""
        spec = self._spec(study)
        needs = self._needs(spec, study)
        able = sum(slots(w.capabilities) for w in self._live() if unmet(needs, w.capabilities) is None)
        mine = unmet(needs, self.me.capabilities) is None
        if idle and mine and counts.get("queued", 0) < _AHEAD * able:
            return max(able, counts.get("queued", 0) + counts.get("running", 0) + 1)
        return max(able, 1)


def _able(spec: StudySpec, having: Sequence[Capabilities], host: str) -> dict[str, Any]:
    """Return what the workers on a host can do together, as plain data."""
    there = [each for each in having if each["host"] == host]
    cores = max(int(each["cores"]) for each in there)
    return {"offers": plain_offers(offers_in(*there, task=spec.task)), "cores": cores}
