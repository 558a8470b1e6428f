"""Recorder: one task after the other through the stages that a worker runs, to plain rows.

A row holds all that a replay needs: what was measured, which documents were right, and each stage by its key with the
seconds that making it took, whoever it was made for. Nothing else may compute on the machine meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.recording.place import Place, made_in
from benchmarks.recording.tasks import Task
from tuner.errors import BuildError, JobError, UnsupportedError
from tuner.pipeline.building import artefact_for, shared_folder
from tuner.pipeline.cache import Entry
from tuner.pipeline.quality import answers, counts, judge
from tuner.pipeline.shaping import checkpoint_for, recovered, shaped_for
from tuner.pipeline.workshop import Workshop
from tuner.stage import StageRun

_SAMPLES = ("samples", "reference_samples")  # left out: the table is to be small


class Recorder:
    """Performs tasks at a place. `rows` are the earlier ones: they know what their stages took."""

    def __init__(self, place: Place, rows: Sequence[Mapping[str, Any]]) -> None:
        self._place = place
        stages = [stage for row in rows for stage in row["stages"] if not stage["hit"]]
        self._took: dict[str, float] = {stage["key"]: stage["seconds"] for stage in stages}

    def row(self, task: Task) -> dict[str, Any]:
        """Return what came of a task; a failure of the candidate is a row as well.

        Raises:
            JobError: the disk is full, or the place was given up.
        """
        begin = time.monotonic()
        self._place.shop.take_runs()
        found, failure = self._tried(task)
        elapsed = time.monotonic() - begin
        runs = self._place.shop.take_runs()
        stages = [self._stage(run) for run in runs]
        if failure is not None:
            spent = elapsed - sum(run.seconds for run in runs)
            # A failure is not kept in the cache: who asks for it again pays again.
            stages.append({"name": "failed", "key": task.id, "seconds": round(spent, 4), "hit": False})
        return {
            "id": task.id,
            "kind": task.kind,
            "candidate": task.candidate.canonical(),
            "hash": task.candidate.hash,
            "start": task.start.label() if task.start else None,
            "steps": task.steps,
            "state": "complete" if failure is None else "failed",
            "failure": failure,
            **found,
            "stages": stages,
            "elapsed": round(elapsed, 4),
            "load": round(os.getloadavg()[0], 2),
            "at": round(time.time()),
        }

    def _tried(self, task: Task) -> tuple[dict[str, Any], dict[str, str] | None]:
        perform: Callable[[Task], dict[str, Any]] = getattr(self, f"_{task.kind}")
        try:
            return perform(task), None
        except JobError as error:
            if error.kind in ("disk-full", "aborted"):
                raise
            return {}, {"kind": error.kind, "reason": error.reason}
        except (BuildError, UnsupportedError) as error:
            kind = "build" if isinstance(error, BuildError) else "unsupported"
            return {}, {"kind": kind, "reason": str(error)}

    # -- the three kinds

    def _trial(self, task: Task) -> dict[str, Any]:
        """A candidate as a worker evaluates it: shaped, recovered, built, measured, judged."""
        shop, ready = self._place.shop, self._place.ready
        artefact = self._built(shop, checkpoint_for(shop, ready, task.candidate), task)
        return {**self._performance(artefact, task), **self._quality(artefact)}

    def _untrained(self, task: Task) -> dict[str, Any]:
        """A candidate's shape built and measured before it learnt anything."""
        shop = self._with_steps(0)
        checkpoint = checkpoint_for(shop, self._place.ready, task.candidate)
        return self._performance(self._built(shop, checkpoint, task), task)

    def _student(self, task: Task) -> dict[str, Any]:
        """A shape's quality after some steps, cut from the teacher or from a larger recovered student."""
        shop, ready = self._place.shop, self._place.ready
        source = ready if task.start is None else self._as_teacher(task)
        shaped = shaped_for(shop, source, task.candidate)
        checkpoint = recovered(self._with_steps(task.steps or 0), ready, shaped)
        return self._quality(artefact_for(shop, ready, checkpoint, task.candidate))

    def _as_teacher(self, task: Task) -> Any:
        assert task.start is not None
        larger = checkpoint_for(self._place.shop, self._place.ready, task.start)
        return replace(self._place.ready, teacher=larger)

    # -- stages

    def _with_steps(self, steps: int) -> Workshop:
        """Return the same shop for a study of other recovery steps; its runs are noted with ours."""
        shop = self._place.shop
        spec = shop.spec.model_copy(update={"recover": shop.spec.recover.model_copy(update={"steps": steps})})
        return replace(shop, spec=spec)

    def _built(self, shop: Workshop, checkpoint: Entry, task: Task) -> Entry:
        """Return the artefact; what all builds of the checkpoint share, such as an export, is a stage of its own."""
        artefact = artefact_for(shop, self._place.ready, checkpoint, task.candidate)
        run, where = shop.runs.pop(), shared_folder(shop, checkpoint).name
        whole = made_in(shop, run.name, run.key) if run.hit else run.seconds
        for name, (seconds, made) in artefact.info["shared"].items():
            key, mine = f"{checkpoint.key}/{where}/{name}", made and not run.hit
            whole -= seconds if made else 0.0
            self._took[key] = seconds
            shop.runs.append(StageRun("export", key, not mine, seconds if mine else 0.0))
        self._took.setdefault(run.key, max(whole, 0.0))
        shop.runs.append(run if run.hit else replace(run, seconds=max(whole, 0.0)))
        return artefact

    def _performance(self, artefact: Entry, task: Task) -> dict[str, Any]:
        found = self._place.bench.performance(artefact, task.candidate).info
        return {
            "performance": {k: v for k, v in found.items() if k not in _SAMPLES},
            "artefact": artefact.key,
        }

    def _quality(self, artefact: Entry) -> dict[str, Any]:
        shop, ready = self._place.shop, self._place.ready
        before = shop.take_runs()
        own = answers(shop, ready, artefact, "validation")
        runs = [run for run in shop.take_runs() if run.name != "build"]  # that would be the baseline's
        base = answers(shop, ready, self._place.bench.reference_artefact, "validation")
        quality, correct, _ = judge(shop, ready, "validation", own, base)
        made_of = counts(shop, ready, "validation", own)
        shop.take_runs()  # the baseline's own trial has them
        shop.runs.extend([*before, *runs])
        return {
            "quality": {name: one.model_dump() for name, one in quality.items() if one is not None},
            "correct": np.packbits(np.array(correct, dtype=bool)).tobytes().hex(),
            "documents": len(correct),
            **made_of,
        }

    def _stage(self, run: StageRun) -> dict[str, Any]:
        """Return a stage with its full cost, as if it had not been there: hashing and syncing its files included."""
        if not run.hit:
            self._took[run.key] = run.seconds
        elif run.key not in self._took:  # made for the study as a whole, or a crash came before its row
            self._took[run.key] = made_in(self._place.shop, run.name, run.key)
        return {"name": run.name, "key": run.key, "seconds": round(self._took[run.key], 4), "hit": run.hit}
