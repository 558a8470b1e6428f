"""Workshop: what every stage shares: the study, the cache, the jobs, the host, and who listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuner.faults import fault
from tuner.hardware import Host
from tuner.measure.client import Serving, ServingLimits
from tuner.pipeline.cache import Cache, Entry
from tuner.pipeline.jobs import JobLimits, Jobs
from tuner.pipeline.quiet import Quiet
from tuner.spec.model import Limits, StudySpec
from tuner.stage import StageRun

Notify = Callable[[str], None]


@dataclass
class Workshop:
    """The place where stages run. `notify` hears the name of each stage that really starts.

    Whatever computes does so inside `quiet`: jobs share the machine, a measurement has it alone.
    """

    spec: StudySpec
    cache: Cache
    jobs: Jobs
    host: Host
    notify: Notify = lambda stage: None
    quiet: Quiet = field(default_factory=Quiet)
    runs: list[StageRun] = field(default_factory=list)

    def stage(self, name: str, parts: Mapping[str, Any], make: Callable[[Path], Any]) -> Entry:
        """Return the stage's cached output, made by `make(directory)` if it is not there; note the run."""

        def announced(out: Path) -> Any:
            self.notify(name)
            return make(out)

        entry = self.cache.get(name, {"stage": name, **parts}, announced)
        self.runs.append(StageRun(name, entry.key, entry.hit, entry.seconds))
        return entry

    def job(
        self,
        name: str,
        parts: Mapping[str, Any],
        call: str,
        preload: Sequence[str] = (),
        fresh: bool = False,
        **kwargs: Any,
    ) -> Entry:
        """Return the stage's output, made by `call(**kwargs, out=directory)` in a child process."""

        def made(out: Path) -> Any:
            return self.compute(call, preload, fresh, out=out, **kwargs)

        return self.stage(name, parts, made)

    def compute(self, call: str, preload: Sequence[str] = (), fresh: bool = False, **kwargs: Any) -> Any:
        """Return what `call(**kwargs)` returns, run in a child process while nobody measures.

        Those who build at the same time share the cores: with more threads than cores, each waits for the slowest.
        """
        with self.quiet.shared() as builders:
            fault("in_build")
            cores = max(len(self.host.cores) // builders, 1)
            return self.jobs.run(call, _plain(kwargs), preload=preload, cores=cores, fresh=fresh)

    def take_runs(self) -> list[StageRun]:
        """Return the runs noted since the last call."""
        taken, self.runs = self.runs, []
        return taken


def serving(shop: Workshop, artefact: Entry) -> Serving:
    """Return a child that serves an artefact on all cores, for its answers; it ends with the context."""
    cores = shop.host.cores
    return Serving(artefact.path, len(cores), cores, serving_limits(shop.spec, shop.host))


def serving_limits(spec: StudySpec, host: Host) -> ServingLimits:
    """Return the same limits for a child that serves."""
    limits = job_limits(spec.limits, host)
    return ServingLimits(limits.seconds, limits.memory_mb)


def job_limits(limits: Limits, host: Host) -> JobLimits:
    """Return the study's limits in the jobs' units; without one, 80 % of the host's memory."""
    memory = limits.memory_gb * 1000 if limits.memory_gb else 0.8 * host.memory_mb
    return JobLimits(limits.minutes * 60, memory)


def _plain(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, Path) else v for k, v in kwargs.items()}
