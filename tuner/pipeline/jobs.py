"""Jobs: functions run in child processes with a time limit, a memory limit and a log of their own."""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from tuner.errors import JobError, TunerError

_ROOM = "free some, or set TUNER_HOME to another disk"
_LINES = 30  # of a log that are kept
_POLL = 0.1  # seconds between two looks at a job's memory


@dataclass(frozen=True)
class JobLimits:
    """What one job may take: wall seconds, and megabytes of resident memory of it and its children."""

    seconds: float
    memory_mb: float


class Jobs:
    """Runs jobs one at a time in children of a zygote that already holds the heavy imports.

    >>> with Jobs(JobLimits(60, 4096), Path("logs")) as jobs:  # doctest: +SKIP
    ...     jobs.run("math:factorial", {"n": 5})
    """

    def __init__(self, limits: JobLimits, scratch: Path) -> None:
        self.limits, self._scratch = limits, scratch
        self._process: subprocess.Popen[bytes] | None = None
        self._running: int | None = None
        self._logs: list[str] = []

    def __enter__(self) -> Jobs:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the zygote and whatever it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def run(
        self,
        call: str,
        kwargs: Mapping[str, Any],
        limits: JobLimits | None = None,
        preload: Sequence[str] = (),
        cores: int | None = None,
        fresh: bool = False,
    ) -> Any:
        """Run `module:function(**kwargs)` in a child and return its JSON-able result. Paths travel as strings.

        `preload` names modules that this job and later ones need: they are imported once, before the fork.
        `cores`: how many threads it should compute with; without, as many as there are.
        `fresh`: in an interpreter of its own, not a fork's (see `tuner.pipeline.zygote`).

        Raises:
            JobError: the child raised, was killed, ran out of memory or time; `kind` says which.
            TunerError: an error of that family raised in the child is raised here again.
        """
        with tempfile.TemporaryDirectory(dir=_folder(self._scratch), prefix="job-") as folder:
            request = {
                "call": call,
                "kwargs": dict(kwargs),
                "log": f"{folder}/log",
                "result": f"{folder}/result",
                "preload": list(preload),
                "cores": cores,
                "fresh": fresh,
            }
            status = self._supervise(request, limits or self.limits)
            self._logs.append(tail(Path(folder) / "log"))
            return _outcome(Path(folder), status)

    def abort(self) -> None:
        """Kill the job at hand, from any thread: who waits for it hears of its death."""
        if self._running is not None:
            _kill_group(self._running)

    def take_logs(self) -> str:
        """Return the last lines of what the jobs since the last call printed."""
        taken, self._logs = self._logs, []
        return "\n".join("\n".join(taken).splitlines()[-_LINES:])

    def _supervise(self, request: dict[str, Any], limits: JobLimits) -> int:
        zygote = self._zygote()
        assert zygote.stdin and zygote.stdout
        _send(zygote.stdin, request)
        pid = json.loads(zygote.stdout.readline() or "{}").get("pid")
        if pid is None:
            self.close()
            raise JobError("error", "the process that starts jobs ended; see the messages above")
        self._running = pid
        try:
            return _watch(zygote, pid, limits, Path(request["log"]))
        except BaseException:
            _kill_group(pid)
            with contextlib.suppress(Exception):  # keep the protocol in step for the next job
                zygote.stdout.readline()
            raise
        finally:
            self._running = None

    def _zygote(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tuner.pipeline.zygote"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,  # a line that a buffer took in, `select` would not see
                env=job_environment(),
                start_new_session=True,  # a terminal's Ctrl-C is ours to handle, not the children's
            )
        return self._process


def job_environment() -> dict[str, str]:
    """Return the environment of a child: no database credentials, no chatter.

    Waiting threads sleep at once: where a neighbour takes a core for a while, spinning ones triple a training step.
    """
    kept = {
        k: v
        for k, v in os.environ.items()
        if k != "TUNER_DB" and not k.upper().endswith(("PASSWORD", "SECRET"))
    }
    quiet = {
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    # Asked otherwise, CUDA would begin in the process that forks, and be of no use in its children.
    unforked = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
    return {**kept, **quiet, **unforked, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}


def _send(pipe: IO[bytes], request: Mapping[str, Any]) -> None:
    rest = memoryview((json.dumps(request) + "\n").encode())
    while rest:
        rest = rest[pipe.write(rest) :]


def _watch(zygote: subprocess.Popen[bytes], pid: int, limits: JobLimits, log: Path) -> int:
    """Wait for the job's end; kill it when it passes a limit."""
    assert zygote.stdout
    deadline = time.monotonic() + limits.seconds
    while not select.select([zygote.stdout], [], [], _POLL)[0]:
        if time.monotonic() > deadline:
            raise JobError("time-limit", f"ran longer than {limits.seconds:.0f} s", tail(log))
        used = _resident_mb(pid)
        if used > limits.memory_mb:
            raise JobError("out-of-memory", f"took {used:.0f} MB, limit {limits.memory_mb:.0f} MB", tail(log))
    return int(json.loads(zygote.stdout.readline())["status"])


def _resident_mb(pid: int) -> float:
    """Return the resident memory of a process and its children in MB, 0 once it is gone."""
    total = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total / 1e6


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _outcome(folder: Path, status: int) -> Any:
    """Turn the child's answer file, or its way of dying, into a value or the right error."""
    log = tail(folder / "log")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        kind = "out-of-memory" if number == signal.SIGKILL else "signal"
        raise JobError(kind, f"child killed by {signal.Signals(number).name}", log)
    try:
        answer = json.loads((folder / "result").read_text())
    except (OSError, ValueError):
        raise _silent(os.waitstatus_to_exitcode(status), folder, log) from None
    if "error" in answer:
        raise _rebuild(answer, log)
    return answer["value"]


def _silent(code: int, folder: Path, log: str) -> JobError:
    if code == errno.ENOSPC:
        return JobError("disk-full", f"no space left under {folder.parent}; {_ROOM}", log)
    return JobError("error", f"child exited with {code} and no result", log)


def _rebuild(answer: dict[str, Any], log: str) -> TunerError:
    """Return the child's error as the same class where it is one of ours, else as a JobError."""
    if answer.get("full"):  # whatever it says: no property of a candidate
        return JobError("disk-full", f"no space left on the disk ({answer['message'][:200]}); {_ROOM}", log)
    if answer["module"] == "tuner.errors" and answer["error"] != "JobError":
        cls = getattr(importlib.import_module("tuner.errors"), answer["error"])
        return cls(answer["message"])
    kind = "out-of-memory" if answer.get("oom") else "error"
    return JobError(kind, f"{answer['error']}: {answer['message']}", log)


def tail(log: Path, lines: int = _LINES) -> str:
    """Return the last lines of a log file, or nothing."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
