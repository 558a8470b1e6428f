"""Place: a study made ready for recording: the machinery that a worker uses, opened once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.backends.registry import backends, offers
from tuner.hardware import this_host
from tuner.pipeline.bench import Bench
from tuner.pipeline.cache import Cache
from tuner.pipeline.jobs import Jobs
from tuner.pipeline.prepare import Prepared, prepare
from tuner.pipeline.workshop import Workshop, job_limits
from tuner.search.space import Space
from tuner.service.requires import plain_offers
from tuner.spec.model import StudySpec


@dataclass(frozen=True)
class Place:
    """A study at hand. `once` are the seconds of what a study pays once: imports, data, teacher."""

    shop: Workshop
    ready: Prepared
    bench: Bench
    space: Space
    once: dict[str, float]

    def meta(self) -> dict[str, Any]:
        """Return what a replay needs to know of the study, as plain data."""
        host = self.shop.host
        return {
            "spec": self.shop.spec.model_dump(mode="json"),
            "anatomy": self.ready.description,
            "offers": plain_offers(offers(host, self.shop.spec.task)),
            "cores": len(host.cores),
            "labels": self.ready.labels,
            "once": self.once,
        }


@contextmanager
def opened(spec: StudySpec, home: Path) -> Iterator[Place]:
    """Prepare the study under `home`; jobs and serving children end with the context."""
    host = this_host()
    with Jobs(job_limits(spec.limits, host), home / "jobs") as jobs:
        shop = Workshop(spec, Cache(home / "cache"), jobs, host)
        once = {"start": _timed(jobs, ())}
        ready = prepare(shop)
        space = Space(
            spec.axes, ready.description, offers(host, spec.task), len(host.cores), spec.scenario.clients
        )
        once |= {f"preload:{engine}": _timed(jobs, backends()[engine].preload) for engine in space.engines}
        once |= {run.name: made_in(shop, run.name, run.key) for run in shop.take_runs()}
        with Bench(shop, ready) as bench:
            bench.reference()
            yield Place(shop, ready, bench, space, once)


def _timed(jobs: Jobs, preload: tuple[str, ...]) -> float:
    """Return the seconds of starting the jobs' process, or of importing an engine's builder into it."""
    begin = time.monotonic()
    jobs.run("os:getpid", {}, preload=preload)
    return time.monotonic() - begin


def made_in(shop: Workshop, stage: str, key: str) -> float:
    """Return the seconds that making a stage took when it was made, whoever asked for it."""
    return float(json.loads((shop.cache.root / stage / key / "entry.json").read_text())["seconds"])
