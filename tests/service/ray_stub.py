"""The stub pipeline as a node of a Ray cluster makes it: what a test wants of it comes through files."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.service.stub import StubPipeline
from tuner.candidate import Candidate
from tuner.hardware import Host
from tuner.pipeline.evaluate import Evaluation
from tuner.store import Study


class FolderPipeline(StubPipeline):
    """In the folder `RAY_STUB`, a file `hold` keeps it waiting, and one with a candidate's hash kills its process."""

    def evaluate(self, study: Study, candidate: Candidate) -> Evaluation:
        folder, end = Path(os.environ["RAY_STUB"]), time.monotonic() + 60
        while (folder / "hold").exists() and time.monotonic() < end:
            time.sleep(0.02)
        if (folder / candidate.hash).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().evaluate(study, candidate)


def from_folder(host: Host, stage: Callable[[str], None]) -> FolderPipeline:
    """Return one, as `Works` is made."""
    return FolderPipeline()
