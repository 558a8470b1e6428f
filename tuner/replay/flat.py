"""Flat: a space without conditions, for samplers that know none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuner.candidate import Candidate
from tuner.search.choice import Choice, distribution, from_trial, to_param
from tuner.search.space import Space

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution


class FlatSpace:
    """A space of five parameters that are always there: engine and format are one, threads and replicas another."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._choices = [
            Choice("student_layers", "student_layers", space.depths),
            Choice("heads", "heads", space.heads),
            Choice("ffn", "ffn", space.ffn),
            Choice("form", "form", range(len(space.pairs())), ordered=False),
            Choice("run", "run", range(len(space.parallels)), ordered=False),
        ]

    def suggest(self, trial: optuna.Trial) -> Candidate:
        """Let the sampler choose a candidate."""
        drawn = {choice.name: from_trial(trial, choice) for choice in self._choices}
        quantization, backend = self._space.pairs()[drawn["form"]]
        threads, replicas = self._space.parallels[drawn["run"]]
        shape = {"heads": drawn["heads"], "ffn": drawn["ffn"]}
        plain = {
            "distillation": {"student_layers": drawn["student_layers"]},
            "pruning": shape,
            "quantization": quantization,
            "backend": backend,
            "parallel": {"threads": threads, "replicas": replicas},
        }
        return Candidate.model_validate(plain)

    def params(self, candidate: Candidate) -> dict[str, Any]:
        """Return the parameters under which `suggest` gives this candidate."""
        known = {
            "student_layers": candidate.distillation.student_layers,
            **candidate.pruning.model_dump(),
            "form": self._space.pairs().index((candidate.quantization, candidate.backend)),
            "run": self._space.parallels.index((candidate.parallel.threads, candidate.parallel.replicas)),
        }
        return {c.name: to_param(c, known[c.name]) for c in self._choices if len(c.values) > 1}

    def distributions(self, candidate: Candidate) -> dict[str, BaseDistribution]:
        """Return what each parameter is drawn from."""
        return {c.name: distribution(c) for c in self._choices if len(c.values) > 1}

    def signature(self) -> dict[str, Any]:
        """Return the space as plain data."""
        return {**self._space.signature(), "flat": True}
