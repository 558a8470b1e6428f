"""What all builds of a checkpoint share is made once: aside, then renamed, so that it is there whole or not at all."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple


class Shared(NamedTuple):
    """Something that builds share: the seconds that making it took, and whether this build made it."""

    seconds: float
    made: bool


_USED: ContextVar[dict[str, Shared] | None] = ContextVar("used", default=None)


@contextmanager
def noted() -> Iterator[dict[str, Shared]]:
    """Return what is used of shared things meanwhile, by the names of their folders."""
    found: dict[str, Shared] = {}
    token = _USED.set(found)
    try:
        yield found
    finally:
        _USED.reset(token)


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return `folder`, filled by `make(directory)` if it is not there; of several builds at once the first one's stays.

    What making it took lies beside it, for whoever wants to know what a build costs that finds it.

    Raises:
        OSError: it cannot be written; whatever `make` raises.
    """
    missing, beside = not folder.exists(), folder.with_name(f"{folder.name}.seconds")
    if missing:
        begin, partial = time.monotonic(), folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}")
        partial.mkdir(parents=True)
        make(partial)
        beside.write_text(f"{time.monotonic() - begin:.4f}")
        try:
            partial.rename(folder)
        except OSError:
            if not folder.exists():  # else another build was quicker
                raise
    if (used := _USED.get()) is not None:
        used[folder.name] = Shared(float(beside.read_text()), missing)
    return folder
