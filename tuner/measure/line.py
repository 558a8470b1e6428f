"""Line: requests that wait for a replica, first come, first served, and which of them are answered together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Line:
    """One line for all replicas, of requests by number; moments are in seconds.

    Whoever is free takes what waits, `most` requests at a time. With a `wait` it leaves them alone until they are so
    many, or until the oldest has waited so long: larger batches, paid for with a delay.
    """

    most: int = 1
    wait: float = 0.0
    _waiting: deque[tuple[float, int]] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[tuple[float, int]]:
        """Yield when each request came, and which it is, the oldest first."""
        return iter(self._waiting)

    def add(self, moment: float, request: int) -> None:
        """Let a request join that came at a moment."""
        self._waiting.append((moment, request))

    def due(self) -> float | None:
        """Return from which moment on a free replica takes something; None while nobody waits."""
        if not self._waiting:
            return None
        oldest = self._waiting[0][0]
        return oldest if len(self._waiting) >= self.most else oldest + self.wait

    def take(self, now: float) -> list[int]:
        """Return the requests that a free replica answers now, none where nothing is due."""
        due = self.due()
        if due is None or due > now:
            return []
        return [self._waiting.popleft()[1] for _ in range(min(self.most, len(self._waiting)))]
