"""Children of a real study that exit, raise, want too much memory, are killed, hang: each costs its trial, no more."""

from __future__ import annotations

import time
import uuid

from studies import FIRST_STEPS, tuner
from tests.service.whole import assert_whole, left_of, noted
from tuner.store import Store


def test_children_that_end_badly(home):
    """Five builds of a real study end in five ways: each costs its trial, and the study comes to its end."""
    name, mark, began = "ill-fated", f"mark-{uuid.uuid4()}", time.monotonic()
    settings = [f"name={name}", "measure.seconds=1", "recover.steps=0", "limits.minutes=0.2"]
    ways = ("exit", "raise", "memory", "kill", "hang")
    done = tuner(
        home,
        *("run", FIRST_STEPS, "--trials", 7),  # the first two are known to the cache, and so are not built
        *(part for setting in settings for part in ("--set", setting)),
        TUNER_FAULT=" ".join(f"job_build:{way},{count}" for count, way in enumerate(ways, 1)),
        TUNER_MARK=mark,
    )
    assert done.returncode == 0, done.stderr
    assert left_of(marker=mark) == []
    with Store.open(f"sqlite:///{home}/tuner.db") as store:
        trials = assert_whole(store, name)
    assert [(t.kind, t.reason) for t in trials if t.state == "failed"] == [
        ("error", "child exited with 3 and no result"),
        ("error", "RuntimeError: fault at job_build"),
        ("out-of-memory", "MemoryError: fault at job_build"),
        ("out-of-memory", "child killed by SIGKILL"),
        ("time-limit", "ran longer than 12 s"),
    ]
    seen = "five failed trials, each with its reason; the study finished"
    noted("children that exit, raise, want memory, are killed, hang", "sqlite", seen, began)
