"""The child behind a try-it box: one artefact, read where it lies in the cache, that answers questions.

`python -m tuner.service.trying_child SETUP`, a JSON object: `kind`, `artefact` and `checkpoint` (directories),
`threads`, `draft`, and of a chat model `stop_token_ids` and `generation`, of a classifier `facts` and `labels`.
Questions are JSON lines on stdin: `{"question", "most"}`. Each is answered by JSON lines on the original stdout
(whatever an engine prints goes to stderr): `{"piece"}` any number of times, then one of `{"done"}`, `{"busy"}`,
`{"refused"}` and `{"failed"}`.

It loads and computes under the machine's shared lock, which it holds itself: however it ends, the kernel frees it.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tuner.pipeline.quiet import Quiet
from tuner.service.answerers import ANSWERERS, Answerer

IDLE_S = 120.0  # without a question, after which the child ends: its model takes memory
_PATIENCE = (
    2.0  # seconds of waiting for the machine, in which a build passes the gate but no measurement ends
)

Tell = Callable[[Mapping[str, Any]], None]


class BusyError(Exception):
    """The machine is measuring."""


class Child:
    """Answers questions one after another; the model is loaded for the first."""

    def __init__(self, setup: Mapping[str, Any], tell: Tell) -> None:
        self._setup, self._tell = setup, tell
        self._answerer: Answerer | None = None

    def turn(self, question: str, most: int) -> bool:
        """Answer one question; return False after a failure, which leaves nothing to rely on."""
        from tuner.runtime.answering import UnanswerableError
        from tuner.runtime.template import TemplateRefusedError

        try:
            with Quiet(waiting=_patience()).shared():
                self._answer(question, most)
        except BusyError:
            self._tell({"busy": True})
        except (UnanswerableError, TemplateRefusedError) as error:
            self._tell({"refused": str(error)})
        except Exception as error:
            self._tell({"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"})
            return False
        return True

    def _answer(self, question: str, most: int) -> None:
        if self._answerer is None:
            self._answerer = ANSWERERS[self._setup["kind"]](self._setup)
        for piece in self._answerer.answer(question, most):
            self._tell({"piece": piece})
        self._tell({"done": self._answerer.done})


def _patience() -> Callable[[], None]:
    """Return what gives up waiting for the machine after a moment."""
    end = time.monotonic() + _PATIENCE

    def waiting() -> None:
        if time.monotonic() > end:
            raise BusyError

    return waiting


def _questions() -> Iterator[Mapping[str, Any]]:
    """Yield questions until none came for a while.

    Stdin is read by a thread of its own: when it ends, whoever asked is gone, and so are we, in the midst of an answer.
    The kernel's signal at a parent's death would not do: it is of the thread that started us, which a page outlives.
    """
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            yield json.loads(lines.get(timeout=IDLE_S))
        except queue.Empty:
            return


def main() -> None:
    """Answer until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def tell(said: Mapping[str, Any]) -> None:
        answers.write(json.dumps(said) + "\n")

    child = Child(json.loads(sys.argv[1]), tell)
    for asked in _questions():
        if not child.turn(str(asked["question"]), int(asked["most"])):
            break
    answers.flush()
    os._exit(0)  # an engine's own threads may hang at the end


if __name__ == "__main__":
    main()
