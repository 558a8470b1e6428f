"""The stub pipeline as a node of a Ray cluster makes it: what a test wants of it comes through files."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import ray

from tests.service.stub import StubPipeline
from tuner.candidate import Candidate
from tuner.errors import InputError
from tuner.hardware import Host
from tuner.pipeline.evaluate import Evaluation
from tuner.pipeline.gate import Gate
from tuner.service.ray_task import Answer, Place
from tuner.store import Study


class FolderPipeline(StubPipeline):
    """A file in the folder `RAY_STUB` says what it does: `hold` keeps it waiting; one with a candidate's hash kills its
    process; `unfit`, in which a node's id stands, lets it fail there.
    """

    def evaluate(self, study: Study, candidate: Candidate, gate: Gate | None = None) -> Evaluation:
        folder, end = Path(os.environ["RAY_STUB"]), time.monotonic() + 60
        while (folder / "hold").exists() and time.monotonic() < end:
            time.sleep(0.02)
        unfit = folder / "unfit"
        if unfit.exists() and ray.get_runtime_context().get_node_id() == unfit.read_text():
            raise InputError("data: there is none")
        if (folder / candidate.hash).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().evaluate(study, candidate)


def busy(place: Place, folder: Path) -> Answer:
    """Say that it has begun, and compute for a second."""
    (folder / "busy").touch()
    end = time.monotonic() + 1
    while time.monotonic() < end:
        sum(range(1000))
    return Answer("whole")


def from_folder(host: Host, stage: Callable[[str], None]) -> FolderPipeline:
    """Return one, as `Works` is made."""
    return FolderPipeline()
