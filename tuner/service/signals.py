"""Signals: the first SIGINT or SIGTERM drains, the second aborts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def draining(drain: Callable[[], None], already: Callable[[], bool]) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into a call of `drain`, one that comes when `already` into KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's business
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if already():
            raise KeyboardInterrupt
        drain()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
