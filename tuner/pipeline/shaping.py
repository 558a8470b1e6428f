"""Shaping: from the teacher to a candidate's smaller, recovered checkpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tuner.candidate import Candidate, Distillation, Pruning
from tuner.pipeline.cache import Entry, code_hash, versions
from tuner.pipeline.prepared import MODEL_CODE, MODEL_LIBRARIES, Prepared
from tuner.pipeline.workshop import Workshop
from tuner.spec.model import GENERATION, StudySpec

#: The module of each task that holds a step with a model.
_STEPS = {"text-classification": "tuner.compress", "text-generation": "tuner.compress.causal"}


def checkpoint_for(shop: Workshop, ready: Prepared, candidate: Candidate) -> Entry:
    """Return the checkpoint to build from: the teacher itself, or its shaped and recovered student."""
    if candidate.is_unshaped(ready.layers):
        return ready.teacher
    larger = larger_student(shop.spec, ready.layers, candidate)
    if larger is not None:
        start = replace(ready, teacher=checkpoint_for(shop, ready, larger))
        return recovered(_briefly(shop), ready, shaped_for(shop, start, candidate))
    shaped = shaped_for(shop, ready, candidate)
    return recovered(shop, ready, shaped) if shop.spec.recover.steps else shaped


def larger_student(spec: StudySpec, layers: int, candidate: Candidate) -> Candidate | None:
    """Return the whole student that a narrow one is cut from, None if that is the teacher of so many layers."""
    depth, narrow = candidate.distillation.student_layers, candidate.pruning != Pruning()
    if spec.recover.start != "larger" or not spec.recover.steps or not narrow:
        return None
    known = spec.axes.distillation.student_layers or range(1, layers)
    larger = min((d for d in known if depth < d < layers), default=None)
    if larger is None:
        return None
    whole = {"distillation": Distillation(student_layers=larger), "pruning": Pruning()}
    return candidate.model_copy(update=whole)


def _briefly(shop: Workshop) -> Workshop:
    """Return the shop for a student that knows most already; its runs are noted with the others."""
    recover = shop.spec.recover
    steps = max(1, round(recover.steps * recover.share))
    return replace(
        shop, spec=shop.spec.model_copy(update={"recover": recover.model_copy(update={"steps": steps})})
    )


def _importance(shop: Workshop, ready: Prepared) -> Entry:
    samples = shop.spec.recover.calibration_samples
    return shop.job(
        "importance",
        {
            "teacher": ready.teacher.key,
            "data": ready.data.key,
            "samples": samples,
            "seed": shop.spec.seed,
            "code": code_hash(*MODEL_CODE),
            "versions": versions(*MODEL_LIBRARIES),
        },
        f"{_STEPS[shop.spec.task]}.importance:importance",
        teacher=ready.teacher.path,
        data_dir=ready.data.path,
        samples=samples,
        seed=shop.spec.seed,
    )


def shaped_for(shop: Workshop, ready: Prepared, candidate: Candidate) -> Entry:
    """Return the candidate's student, cut from `ready.teacher` and not trained yet."""
    importance = _importance(shop, ready)
    choice: dict[str, Any] = {
        "student_layers": candidate.distillation.student_layers,
        "heads_ratio": candidate.pruning.heads,
        "ffn_ratio": candidate.pruning.ffn,
    }
    if candidate.pruning.semi_structured:
        choice["semi_structured"] = True
    return shop.job(
        "shape",
        {
            "teacher": ready.teacher.key,
            "importance": importance.key,
            **choice,
            "code": code_hash(*MODEL_CODE),
        },
        f"{_STEPS[shop.spec.task]}.shape:shape",
        teacher=ready.teacher.path,
        importance=importance.path,
        **choice,
    )


def _teacher_outputs(shop: Workshop, ready: Prepared) -> Entry:
    """Return the teacher's answers; a language model's are shares, which hang on the temperature, and dear."""
    recover, settings = shop.spec.recover, dict[str, Any]()
    if shop.spec.task == GENERATION:
        seen = recover.steps * recover.batch_size
        settings = {"temperature": recover.temperature, "windows": seen}
    return shop.job(
        "teacher-outputs",
        {
            "teacher": ready.teacher.key,
            "data": ready.data.key,
            **settings,
            "code": code_hash(*MODEL_CODE),
            "versions": versions(*MODEL_LIBRARIES),
        },
        f"{_STEPS[shop.spec.task]}.teacher_outputs:teacher_outputs",
        teacher=ready.teacher.path,
        data_dir=ready.data.path,
        **settings,
    )


def recovered(shop: Workshop, ready: Prepared, shaped: Entry) -> Entry:
    """Return a shaped student after it learnt from `ready.teacher`: its answers, and of a language model its layers."""
    outputs = _teacher_outputs(shop, ready)
    beside = {"teacher": ready.teacher.path, "layers": shaped.info["layers"]}
    settings = shop.spec.recover.model_dump(mode="json", exclude={"start", "share"})
    return shop.job(
        "recover",
        {
            "shaped": shaped.key,
            "outputs": outputs.key,
            "recover": settings,
            "seed": shop.spec.seed,
            "code": code_hash(*MODEL_CODE),
            "versions": versions(*MODEL_LIBRARIES),
        },
        f"{_STEPS[shop.spec.task]}.recover:recover",
        shaped=shaped.path,
        **(beside if shop.spec.task == GENERATION else {}),
        teacher_outputs=outputs.path,
        data_dir=ready.data.path,
        settings=settings,
        seed=shop.spec.seed,
    )
