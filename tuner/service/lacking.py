"""Lacking: what open studies wait for that no live worker has, in plain sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tuner.service.lines import Note
from tuner.service.requires import absent, study_unmet, unmet
from tuner.spec.model import StudySpec
from tuner.store import Worker
from tuner.store.glance import Standing, Waiting

NOBODY = "no worker is alive; start one: tuner worker"
#: States in which a study goes on by itself, if only somebody is there.
_MOVING = ("queued", "running", "stopping", "confirming")


def lacking(studies: Iterable[Standing], waiting: Iterable[Waiting], alive: Sequence[Worker]) -> list[Note]:
    """Return a sentence for each study, or group of its queued trials, that no live worker can run."""
    moving = {study.id: study for study in studies if study.state in _MOVING}
    if not alive:
        return [Note(None, NOBODY)] if moving else []
    found = [_unprepared(study, alive) for study in moving.values() if study.state == "queued"]
    return [*filter(None, found), *_unrun(moving, waiting, alive)]


def _unprepared(study: Standing, alive: Sequence[Worker]) -> Note | None:
    """Return what keeps all workers from beginning a study, None if one can."""
    spec = StudySpec.model_validate(dict(study.spec))
    missing = [study_unmet(spec, worker.capabilities) for worker in alive]
    lacks = _lacks(missing, study)
    away = absent(spec, [worker.capabilities for worker in alive])
    if lacks is None and away:  # what can be tried there is not known before somebody is
        lacks = f"it needs a worker on each host that it names, and none is on {' and '.join(away)}"
    return Note(study.name, f"study {study.name}: {lacks} (it was not begun)") if lacks else None


def _unrun(studies: dict[str, Standing], waiting: Iterable[Waiting], alive: Sequence[Worker]) -> list[Note]:
    """Return what keeps all workers from running queued trials; trials that lack the same share a sentence."""
    counts: Counter[tuple[str, str]] = Counter()
    for group in waiting:
        study = studies.get(group.study_id)
        lacks = study and _lacks([unmet(group.requires, worker.capabilities) for worker in alive], study)
        if study and lacks:
            counts[study.name, lacks] += group.trials
    return [
        Note(name, f"study {name}: {lacks} ({count} {'trial waits' if count == 1 else 'trials wait'})")
        for (name, lacks), count in counts.items()
    ]


def _lacks(missing: Sequence[str | None], study: Standing) -> str | None:
    """Return what live workers lack, each its own; None if one lacks nothing."""
    reasons = sorted({reason for reason in missing if reason is not None})
    if None in missing or not reasons:
        return None
    if study.host is not None:
        reasons = [
            r.replace("that the study is bound to", f"of {study.host}, where the study began")
            for r in reasons
        ]
    if len(reasons) == 1:
        return f"no live worker has {reasons[0]}"
    return f"no live worker has all that is needed: one lacks {', another '.join(reasons)}"
