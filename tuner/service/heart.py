"""Heart: a thread that says, while a worker is busy, that it lives and still holds what it holds."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator

from tuner.errors import TunerError
from tuner.store import Store, Worker
from tuner.store.leases import Lease

_MISSED = 6  # beats that may be missed before a lease ends
_RETURN = 3.0  # seconds that everybody has found back to a database in: the longest wait between two tries, and more
_log = logging.getLogger(__name__)


class Heart:
    """Beats for one worker. `on_lost` is called, from the heart's thread, when a lease is found to be another's.

    Failures of the database are not its business: as long as nobody can read the leases, nobody can take them.
    """

    def __init__(self, store: Store, worker: Worker, seconds: float, on_lost: Callable[[], None]) -> None:
        self._store, self._worker, self._seconds, self._on_lost = store, worker, seconds, on_lost
        self._held: set[Lease] = set()
        self._lost: set[Lease] = set()
        self._guard, self._end = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heart", daemon=True)
        self._beaten, self._back, self._long = time.monotonic(), -math.inf, seconds * 2 / 3
        self.superseded = False

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(self._seconds)

    @contextlib.contextmanager
    def holding(self, lease: Lease) -> Iterator[None]:
        """Keep a lease alive inside the block."""
        with self._guard:
            self._held.add(lease)
        try:
            yield
        finally:
            with self._guard:
                self._held.discard(lease)

    def lost(self, lease: Lease) -> bool:
        """Say whether a lease was found to be another's, or this worker to be superseded."""
        return self.superseded or lease in self._lost

    @property
    def steady(self) -> bool:
        """Say whether this worker was not cut off of late.

        After the database was gone, leases look as if they had run out: whoever comes back first must not take the
        others' work before they had time to come back, too.
        """
        now = time.monotonic()
        return now - self._beaten < self._long and now - self._back > max(self._seconds / 2, _RETURN)

    def beat(self) -> None:
        """Beat once; also called by the thread."""
        with self._guard:
            held = list(self._held)
        lost = self._store.beat(self._worker.name, self._worker.incarnation, held, self._seconds)
        self.superseded = lost is None
        self._note_beat()
        with self._guard:
            gone = self._held if lost is None else self._held & set(lost)  # given back meanwhile: not lost
            self._lost |= gone
            if gone:  # under the guard: what is held next must not be aborted for it
                self._on_lost()

    def _note_beat(self) -> None:
        now = time.monotonic()
        if now - self._beaten > self._long:
            self._back = now
        self._beaten = now

    def _beat_on(self) -> None:
        while not self._end.wait(self._seconds / _MISSED):
            try:
                self.beat()
            except TunerError:
                pass
            except Exception:  # whatever it is: a heart that stops costs every lease
                _log.exception("a beat failed")
