"""StageRun: one stage of one trial, as the pipeline notes it and the store keeps it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StageRun:
    """A stage's `key` in the cache, `hit` if nothing had to be done, and the `seconds` it took."""

    name: str
    key: str
    hit: bool
    seconds: float
