"""Run: one study from its specification to its confirmed front, in this process and its children."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from tuner.backends.registry import offers
from tuner.errors import InputError
from tuner.hardware import Host, this_host
from tuner.measure.energy import energy_refusal
from tuner.pipeline.bench import Bench
from tuner.pipeline.cache import Cache
from tuner.pipeline.jobs import Jobs
from tuner.pipeline.prepare import Prepared, prepare
from tuner.pipeline.workshop import Workshop, job_limits
from tuner.search import asktell
from tuner.search.sampler import make_sampler
from tuner.search.space import Space
from tuner.service.confirm import confirm
from tuner.service.coordinator import Coordinator
from tuner.service.events import Event
from tuner.service.opening import open_study
from tuner.service.progress import Progress
from tuner.spec.model import StudySpec
from tuner.store import Store, tuner_home
from tuner.store.optuna_storage import open_optuna_storage
from tuner.store.records import Study


def run_study(spec: StudySpec, store: Store, on_event: Callable[[Event], None] | None = None) -> Study:
    """Run a study, or go on with it, to its confirmed front; return it as stored, `finished` or `interrupted`.

    The first Ctrl-C drains: the trial at hand is finished and everything kept. The second aborts the trial, which the
    next run of the same study begins again.

    Raises:
        InputError: model, data or study cannot be used on this host.
        TunerError: the disk is full, or the database cannot be written.
    """
    host = this_host()
    _refuse_unmeasurable(spec, host)
    progress = Progress(store, spec, on_event)
    with ExitStack() as stack:
        shop = stack.enter_context(_workshop(spec, host, progress))
        ready = prepare(shop)
        space = Space(spec.axes, ready.description, offers(host), len(host.cores))
        study = open_study(store, spec, host)
        bench = stack.enter_context(Bench(shop, ready))
        with store.guard():
            loop = _coordinator(store, study, shop, ready, bench, space, progress)
        progress.begun(study)
        return _search(loop)


def _search(loop: Coordinator) -> Study:
    store, study = loop.store, store_state(loop, "running")
    try:
        with _draining(loop):
            loop.run()
            if not loop.draining:
                confirm(store, loop.study, loop.shop, loop.ready, loop.bench, loop.progress)
    except BaseException:
        store_state(loop, "interrupted")
        raise
    study = store_state(loop, "interrupted" if loop.draining else "finished")
    loop.progress.ended(study, loop.draining)
    return study


def store_state(loop: Coordinator, state: str) -> Study:
    """Store the study's state and return the study."""
    loop.study = loop.store.set_study_state(loop.study, state)  # type: ignore[arg-type]
    return loop.study


@contextmanager
def _workshop(spec: StudySpec, host: Host, progress: Progress) -> Iterator[Workshop]:
    home = tuner_home()
    cache = Cache(home / "cache")
    with Jobs(job_limits(spec.limits, host), home / "jobs") as jobs:
        yield Workshop(spec, cache, jobs, host, progress.stage)


def _coordinator(
    store: Store,
    study: Study,
    shop: Workshop,
    ready: Prepared,
    bench: Bench,
    space: Space,
    progress: Progress,
) -> Coordinator:
    storage = open_optuna_storage(store)
    sampler = make_sampler(shop.spec.sampler, shop.spec.seed, asktell.trial_count(storage, study.id))
    asked = asktell.create_or_load(storage, study.id, shop.spec.objectives, space, sampler)
    return Coordinator(store, study, shop, ready, bench, space, asked, progress)


def _refuse_unmeasurable(spec: StudySpec, host: Host) -> None:
    asked = " ".join([*spec.objectives, *spec.constraints])
    refusal = energy_refusal(host)
    if "energy_j" in asked and refusal:
        raise InputError(f"objectives: energy_j cannot be measured on this host: {refusal}")


@contextmanager
def _draining(loop: Coordinator) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into draining, the second into KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's business
        return

    def drain(number: int, frame: FrameType | None) -> None:
        if loop.draining:
            raise KeyboardInterrupt
        loop.draining = True
        loop.progress.note("draining: the trial at hand is finished first; once more to abort it")

    before = {number: signal.signal(number, drain) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
