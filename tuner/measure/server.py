"""The serving child: one artefact loaded as a bundle would load it, measured by calls from inside.

`python -m tuner.measure.server ARTEFACT --threads N --cores 0,1 --parent PID`, with `--tensor` or `--pipeline` where
the model is divided among ranks, which are children of this one. Nothing but numpy, the tuner's light root and the
artefact's own engine is imported, so peak memory is that of serving. Requests are JSON lines on stdin;
answers are JSON lines on the original stdout (whatever an engine prints goes to stderr).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.runtime.orphans import die_with_parent
from tuner.runtime.split import Split

if TYPE_CHECKING:
    from tuner.measure.calls import Calls

_LATE = 0.002  # seconds before a common start at which waiting turns from sleeping to looking

_NO_MEMORY = ("bad_alloc", "failed to allocate memory", "can't allocate memory", "cannot allocate memory")


class Server:
    """Holds the session and the calls it cycles through."""

    def __init__(self, artefact: Path, threads: int, split: Split) -> None:
        from tuner.runtime.loader import load_session

        self._session = load_session(artefact, threads, split)
        self._calls: Calls
        self._next, self._cycle = 0, 1

    def plan(
        self, file: str, cycle: int = 1, clients: int = 1, draft: str | None = None, slots: int = 1
    ) -> dict[str, Any]:
        """Load the calls to go through in whole cycles (see `calls`).

        `clients` share the session, which answers `slots` of them together, and may `draft`.
        """
        import numpy as np

        from tuner.measure.calls import calls_of

        if draft is not None:
            self._session.draft = draft
        with np.load(file) as arrays:
            self._calls = calls_of(
                self._session, {name: arrays[name] for name in arrays.files}, clients, slots
            )
        self._next, self._cycle = 0, cycle
        return {"calls": len(self._calls)}

    def block(
        self, seconds: float, calls: int, start: float | None, first: int | None, dropped: int = 1
    ) -> dict[str, Any]:
        """Call for so many seconds, at least `calls` times and in whole cycles; samples in ms.

        `dropped` more calls come before them. `start` is a moment of the monotonic clock to begin at, `first` the call
        to begin with (None: go on after the last block's).
        """
        self._next = self._next if first is None else first
        _wait_until(start)
        for _ in range(dropped):
            self._call()
        taken: list[dict[str, Any]] = []
        begin = time.perf_counter()
        while len(taken) < calls or time.perf_counter() - begin < seconds or len(taken) % self._cycle:
            taken.append(self._call())
            self._next += 1
        return {
            "samples": [call.pop("ms") for call in taken],
            "seconds": time.perf_counter() - begin,
            "answers": sum(call.pop("answers") for call in taken),
            "details": [call for call in taken if call],
        }

    def score(self, inputs: str, out: str) -> dict[str, Any]:
        """Write what a language model expects in each row of an encoded split (see `scoring`)."""
        from tuner.measure.scoring import score

        score(self._session, inputs, out)
        return {}

    def answer(self, prompts: str, name: str, most: int, stop: list[int], out: str) -> dict[str, Any]:
        """Write a language model's greedy answers to prompts (see `scoring`)."""
        from tuner.measure.scoring import answer

        answer(self._session, prompts, name, most, stop, out)
        return {}

    def predict(self, inputs: str, batch: int, out: str) -> dict[str, Any]:
        """Write the logits (documents, labels) of an encoded split, in batches trimmed to their longest document."""
        import numpy as np

        with np.load(inputs) as arrays:
            given = {name: arrays[name] for name in arrays.files if name != "labels"}
        found = []
        for row in range(0, len(given["input_ids"]), batch):
            length = max(int(given["attention_mask"][row : row + batch].sum(axis=1).max()), 2)
            chunk = {k: np.ascontiguousarray(v[row : row + batch, :length]) for k, v in given.items()}
            found.append(self._session.run(chunk))
        np.save(out, np.concatenate(found))
        return {}

    def details(self) -> dict[str, Any]:
        """Return what the session's device says of itself and of a call, `{}` where it says nothing."""
        return self._calls.details()

    def memory(self) -> dict[str, Any]:
        """Return the peak resident memory of this process and its ranks in MB (10^6 bytes), and who computes."""
        ranks = list(getattr(self._session, "pids", ()))
        return {"memory_mb": sum(map(_peak_mb, [os.getpid(), *ranks])), "pids": ranks or [os.getpid()]}

    def _call(self) -> dict[str, Any]:
        return self._calls.one(self._next % len(self._calls))


def _failure(error: Exception) -> dict[str, Any]:
    """Return an error as one line, and whether it was for want of memory (engines raise it as C++ exceptions)."""
    text = " ".join(str(error).split())
    full = isinstance(error, MemoryError) or any(sign in text.lower() for sign in _NO_MEMORY)
    return {"error": f"{type(error).__name__}: {text[:400]}", "oom": full}


def _peak_mb(pid: int) -> float:
    """Return VmHWM where there is /proc: `ru_maxrss` survives exec, and would count the parent before it."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS counts bytes


def _wait_until(start: float | None) -> None:
    """Wait for a moment of the machine-wide monotonic clock, so that replicas begin together."""
    while start is not None and (left := start - time.monotonic()) > 0:
        time.sleep(max(left - _LATE, 0))


def _pin(cores: Sequence[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def _serve(server: Server, answers: Any) -> None:
    for line in sys.stdin:
        request = json.loads(line)
        operation = request.pop("op")
        if operation == "quit":
            return
        try:
            answer = getattr(server, operation)(**request)
        except Exception as error:
            answer = _failure(error)
        answers.write(json.dumps(answer) + "\n")


def main() -> None:
    """Pin, load, and answer until stdin closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("artefact", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--cores", required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--tensor", type=int, default=1)
    parser.add_argument("--pipeline", type=int, default=1)
    asked = parser.parse_args()
    die_with_parent(asked.parent)
    cores = tuple(int(core) for core in asked.cores.split(","))
    _pin(cores)  # before an engine counts its cores
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        server = Server(asked.artefact, asked.threads, Split(asked.tensor, asked.pipeline, cores))
    except Exception as error:
        answers.write(json.dumps(_failure(error)) + "\n")
        return
    answers.write(json.dumps({"ready": True}) + "\n")
    _serve(server, answers)


if __name__ == "__main__":
    main()
