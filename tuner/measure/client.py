"""Serving: the parent's end of a serving child."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

from tuner.errors import JobError
from tuner.runtime.split import Split

#: Seconds until silence counts as hanging. A block holds three calls or more, and large batches take their time.
_LOAD, _ANSWER, _BLOCK, _PREDICT, _SCORE = 120.0, 60.0, 300.0, 600.0, 1800.0
_LOOK = 0.25  # seconds between two looks at the memory of a child that takes its time
_OF_LATE = 400  # blocks: some ten measurements
_TAIL = 20_000  # bytes of the log's end that an error may quote from
_serving: weakref.WeakSet[Serving] = weakref.WeakSet()
_SECRET = ("PASSWORD", "SECRET", "TOKEN", "_KEY", "_KEY_ID", "CREDENTIALS")  # how names of credentials end


@dataclass(frozen=True)
class ServingLimits:
    """What a serving child may take: seconds for one answer, megabytes of resident memory."""

    seconds: float = math.inf
    memory_mb: float = math.inf


class Block(NamedTuple):
    """What a block took: samples in ms, answers per second, what more is known of each call, and all its answers."""

    samples: list[float]
    rate: float
    details: list[dict[str, Any]]
    answers: int


class Serving:
    """A child that serves one artefact, pinned to `cores`. Ends with the context, or with this process.

    It sees some GPUs only where `cards` names them, by their UUIDs. Where the model is `split`, each of its ranks has
    some of the cores, and one of the GPUs.

    `clocks` is for who measures beside it: medians of its blocks of late, in ms.

    Raises:
        JobError: (of every method) the child failed, was killed (`signal`), or hangs (`time-limit`).
    """

    def __init__(
        self,
        artefact: Path,
        threads: int,
        cores: Sequence[int],
        limits: ServingLimits | None = None,
        cards: Sequence[str] = (),
        split: Split | None = None,
    ) -> None:
        self.artefact, self.threads, self.cores = Path(artefact), threads, tuple(cores)
        self._limits, self._split = limits or ServingLimits(), split or Split()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close(); nameless: no litter after kill -9
        self._unread = b""
        self.clocks: deque[float] = deque(maxlen=_OF_LATE)
        self._process = subprocess.Popen(
            self._command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            env=_environment(threads) | ({"CUDA_VISIBLE_DEVICES": ",".join(cards)} if cards else {}),
            start_new_session=True,  # a terminal's Ctrl-C is the coordinator's to handle
        )
        _serving.add(self)
        try:
            self._answer(_LOAD)
        except JobError:
            self.close()
            raise

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Say whether the child still runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Return the child's process id."""
        return self._process.pid

    def plan(
        self, file: Path, cycle: int = 1, clients: int = 1, draft: str | None = None, slots: int = 1
    ) -> None:
        """Load the calls that blocks go through, in whole cycles.

        A language model has `clients`, answers `slots` of them together, and may draft.
        """
        self.ask("plan", file=str(file), cycle=cycle, clients=clients, draft=draft, slots=slots)

    def begin_block(
        self,
        seconds: float,
        calls: int,
        start: float | None = None,
        first: int | None = None,
        dropped: int = 1,
    ) -> None:
        """Start a block without waiting for it, at a moment of `time.monotonic()`, with call `first`."""
        self._send("block", seconds=seconds, calls=calls, start=start, first=first, dropped=dropped)

    def end_block(self) -> Block:
        """Return what the block took."""
        answer = self._answer(_BLOCK)
        rate = answer["answers"] / answer["seconds"]
        return Block(answer["samples"], rate, answer["details"], answer["answers"])

    def score(self, inputs: Path) -> dict[str, np.ndarray]:
        """Return `logprob` and `greedy` (rows, longest - 1) of a split for a language model; see `scoring.score`."""
        with tempfile.TemporaryDirectory() as folder:
            out = f"{folder}/scores.npz"
            self._send("score", inputs=str(inputs), out=out)
            self._answer(_SCORE)
            with np.load(out) as arrays:
                return {name: arrays[name] for name in arrays.files}

    def answer(self, prompts: Path, name: str, most: int, stop: Sequence[int]) -> np.ndarray:
        """Return greedy answers int64 (prompts, most), -1 after their end; see `scoring.answer`."""
        with tempfile.TemporaryDirectory() as folder:
            out = f"{folder}/answers.npy"
            self._send("answer", prompts=str(prompts), name=name, most=most, stop=list(stop), out=out)
            self._answer(_SCORE)
            return np.load(out)

    def predict(self, inputs: Path, batch: int = 8) -> np.ndarray:
        """Return float32 logits (documents, labels) of an encoded split (.npz)."""
        with tempfile.TemporaryDirectory() as folder:
            out = f"{folder}/logits.npy"
            self._send("predict", inputs=str(inputs), batch=batch, out=out)
            self._answer(_PREDICT)
            return np.load(out)

    def memory_mb(self) -> float:
        """Return the peak resident memory of the child and its ranks in MB."""
        return float(self.ask("memory")["memory_mb"])

    def pids(self) -> list[int]:
        """Return the ids of the processes that compute: the ranks of a divided model, else the child itself."""
        return [int(pid) for pid in self.ask("memory")["pids"]]

    def details(self) -> dict[str, float]:
        """Return what the session's device says of itself and of a call of the plan (see `Placed.details`)."""
        return self.ask("details")

    def ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Send one request and return its answer."""
        self._send(operation, **arguments)
        return self._answer(_ANSWER)

    def kill(self) -> None:
        """End the child from another thread: who waits for its answer hears that it died."""
        with contextlib.suppress(OSError):
            if self.alive:
                os.killpg(self.pid, signal.SIGKILL)  # a session of its own: its ranks as well

    def close(self) -> None:
        """End the child."""
        self.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with contextlib.suppress(OSError):
                stream and stream.close()

    def _command(self) -> list[str]:
        cores = ",".join(map(str, self.cores))
        options = ["--threads", str(self.threads), "--cores", cores, "--parent", str(os.getpid())]
        options += ["--tensor", str(self._split.tensor), "--pipeline", str(self._split.pipeline)]
        return [sys.executable, "-m", "tuner.measure.server", str(self.artefact), *options]

    def _send(self, operation: str, **arguments: Any) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write((json.dumps({"op": operation, **arguments}) + "\n").encode())
        except (BrokenPipeError, ValueError):
            raise self._died() from None

    def _answer(self, seconds: float) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._line(seconds))
        if "error" in answer:
            kind = "out-of-memory" if answer.get("oom") else "error"
            raise JobError(kind, f"serving {self.artefact.name}: {answer['error']}", self._tail())
        return answer

    def _line(self, seconds: float) -> bytes:
        """Return one whole line: a child can also hang, or be killed, in the middle of one."""
        assert self._process.stdout
        seconds = min(seconds, self._limits.seconds)
        deadline = time.monotonic() + seconds
        while b"\n" not in self._unread:
            left = min(max(deadline - time.monotonic(), 0), _LOOK)
            if not select.select([self._process.stdout], [], [], left)[0]:
                self._check(deadline, seconds)
                continue
            read = os.read(self._process.stdout.fileno(), 1 << 16)
            if not read:
                raise self._died()
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _check(self, deadline: float, seconds: float) -> None:
        """End a child that is over its time or its memory."""
        if time.monotonic() >= deadline:
            self.kill()
            raise JobError("time-limit", f"serving child gave no answer in {seconds:.0f} s", self._tail())
        used = _resident_mb(self.pid)
        if used > self._limits.memory_mb:
            self.kill()
            limit = f"limit {self._limits.memory_mb:.0f} MB"
            raise JobError("out-of-memory", f"serving child took {used:.0f} MB, {limit}", self._tail())

    def _died(self) -> JobError:
        """Return how the child ended as an error."""
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return JobError("error", "serving child closed its output", self._tail())
        if code >= 0:
            tail = self._tail()
            last = next((f": {line[:400]}" for line in reversed(tail.splitlines()) if line.strip()), "")
            return JobError("error", f"serving child exited with {code}{last}", tail)
        name = signal.Signals(-code).name
        hint = " (by the kernel for want of memory, or from outside)" if -code == signal.SIGKILL else ""
        return JobError("signal", f"serving child killed by {name}{hint}", self._tail())

    def _tail(self, lines: int = 30) -> str:
        with contextlib.suppress(OSError, ValueError):
            # pread: the child writes through the same file offset, which must stay where it is.
            end = os.fstat(self._log.fileno()).st_size
            found = os.pread(self._log.fileno(), _TAIL, max(end - _TAIL, 0))
            return "\n".join(found.decode(errors="replace").splitlines()[-lines:])
        return ""


def _resident_mb(pid: int) -> float:
    """Return the resident memory of a process and its children."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return sum(float(p.memory_info().rss) for p in (process, *process.children())) / 1e6
    return 0.0


def kill_all() -> None:
    """End every serving child of this process, from any thread."""
    for serving in list(_serving):
        serving.kill()


def _environment(threads: int) -> dict[str, str]:
    """Return a child's environment: no credentials, and the engines' thread counts.

    Threads of an OpenMP engine may spin for some milliseconds before they sleep: sleeping at once (a passive wait
    policy) makes PyTorch, and with it the baseline, a third slower; spinning for ever would disturb whoever is next.
    """
    kept = {k: v for k, v in os.environ.items() if k != "TUNER_DB" and not k.upper().endswith(_SECRET)}
    counts = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    return {**kept, **counts, "GOMP_SPINCOUNT": "1000000", "TRANSFORMERS_VERBOSITY": "error"}


def run_blocks(
    servings: Sequence[Serving], seconds: float, calls: int, first: int | None = None, dropped: int = 1
) -> Block:
    """Run a block on all servings at once; return what they took together."""
    start = time.monotonic() + 0.005 if len(servings) > 1 else None
    for serving in servings:
        serving.begin_block(seconds, calls, start, first, dropped)
    found = [serving.end_block() for serving in servings]
    return Block(
        samples=[sample for block in found for sample in block.samples],
        rate=sum(block.rate for block in found),
        details=[detail for block in found for detail in block.details],
        answers=sum(block.answers for block in found),
    )
