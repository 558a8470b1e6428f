"""What all builds of a checkpoint share is made once: aside, then renamed, so that it is there whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return `folder`, filled by `make(directory)` if it is not there; of several builds at once the first one's stays.

    Raises:
        OSError: it cannot be written; whatever `make` raises.
    """
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}")
        partial.mkdir(parents=True)
        make(partial)
        try:
            partial.rename(folder)
        except OSError:
            if not folder.exists():  # else another build was quicker
                raise
    return folder
