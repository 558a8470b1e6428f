"""Zygote: imports the heavy libraries once, then forks one clean child per job.

Importing torch and transformers costs seconds; a fork costs milliseconds and still isolates a crash, a leak or a
runaway library. `multiprocessing`'s fork server would re-import the user's main script in each child, so a script
that calls `tuner.run` without a `__main__` guard would start itself again: hence this small one.

A job for a device other than the processor starts from a fresh interpreter instead: what libraries find out about
cards when they are imported is remembered, and neither that nor a begun CUDA survives a fork.

Protocol (JSON lines): requests `{"call": "module:function", "kwargs": {…}, "log", "result": paths, "preload": […],
"fresh": bool}` on stdin; answers `{"pid": n}` and, when the child ended, `{"status": wait status}` on the original
stdout; one at a time.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tuner.faults import due, fail
from tuner.runtime.orphans import die_with_parent

#: Bytes: with less left on the disk, a job that failed is taken to have failed for want of room.
_ROOM = 4_000_000
_CARDS = "CUDA_VISIBLE_DEVICES"


def _preload() -> None:
    import numpy  # noqa: F401
    import torch  # noqa: F401
    import transformers.models.bert.modeling_bert  # noqa: F401 - with it comes what all families share
    from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: F401


def _import_once(request: dict[str, Any]) -> None:
    """Import here, before the fork, what this job and those like it need; an error shows in the child, with its log."""
    for name in [request["call"].partition(":")[0], *request.get("preload", [])]:
        with contextlib.suppress(Exception), _cards_hidden():
            importlib.import_module(name)


@contextlib.contextmanager
def _cards_hidden() -> Iterator[None]:
    """Show no GPU meanwhile: a library that asks one for its abilities (torchao does, when imported) begins CUDA.

    Begun before the fork, CUDA is of no use in any child. Where torch counts cards through NVML, as jobs ask it to
    (`job_environment`), it reads this variable anew each time.
    """
    shown = os.environ.get(_CARDS)
    os.environ[_CARDS] = ""
    try:
        yield
    finally:
        del os.environ[_CARDS]
        if shown is not None:
            os.environ[_CARDS] = shown


def _describe(error: BaseException, out: str | None = None) -> dict[str, Any]:
    """Return the error as one line and its class, so that the parent can raise the same kind."""
    message = " ".join(str(error).split()) or type(error).__name__
    return {
        "error": type(error).__name__,
        "module": type(error).__module__,
        "message": message[:600],
        "full": any(_says_full(cause) for cause in _causes(error)) or _is_full(out),
    }


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _says_full(error: BaseException) -> bool:
    errors = (errno.ENOSPC, errno.EDQUOT)
    told = (isinstance(error, OSError) and error.errno in errors) or "no space left" in str(error).lower()
    return told or "os error 28" in str(error)


def _is_full(out: str | None) -> bool:
    """Say whether there is no room where the job writes: some engines only say that their stream broke."""
    if out is None or not Path(out).is_dir():
        return False
    return shutil.disk_usage(out).free < _ROOM


def _point(request: dict[str, Any]) -> str:
    return f"job_{request['call'].partition(':')[2]}"


def _perform(request: dict[str, Any]) -> dict[str, Any]:
    module, _, function = request["call"].partition(":")
    try:
        for action in request.get("faults", []):
            fail(_point(request), action)
        return {"value": getattr(importlib.import_module(module), function)(**request["kwargs"])}
    except MemoryError as error:
        return {**_describe(error), "oom": True}
    except BaseException as error:  # the child reports everything: its parent decides
        traceback.print_exc()
        return _describe(error, request["kwargs"].get("out"))


def _child(request: dict[str, Any], zygote: int) -> None:
    """Run the job with its output in the log file, write the result, and leave without clean-up handlers."""
    os.setsid()
    die_with_parent(zygote)
    if request.get("fresh"):
        _begin_anew(request)
    _work(request)


def _begin_anew(request: dict[str, Any]) -> None:
    """Become a fresh interpreter with this one's process number, group and parent."""
    asked = Path(request["result"] + ".asked")
    asked.write_text(json.dumps(request))
    os.execv(sys.executable, [sys.executable, "-m", "tuner.pipeline.zygote", str(asked)])


def _work(request: dict[str, Any]) -> None:
    if request.get("cores"):
        _compute_with(request["cores"])
    try:
        _answer(request)
    except OSError as error:
        os._exit(error.errno or 1)  # a full disk takes neither log nor result: it is known by its exit status
    os._exit(0)


def _compute_with(cores: int) -> None:
    """Confine to so many threads what is loaded (torch) and what is loaded or started from here on."""
    import torch

    torch.set_num_threads(cores)
    for name in (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "TORCHINDUCTOR_COMPILE_THREADS",
    ):
        os.environ[name] = str(cores)
    if (inductor := sys.modules.get("torch._inductor.config")) is not None:
        inductor.compile_threads = cores  # type: ignore[attr-defined]


def _answer(request: dict[str, Any]) -> None:
    """Perform the job into its log, and put its answer where the parent looks for it."""
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    answer = _perform(request)
    sys.stdout.flush()
    sys.stderr.flush()
    partial = Path(request["result"] + ".part")
    partial.write_text(json.dumps(answer, default=str))
    partial.rename(request["result"])


def main() -> None:
    """Serve jobs until stdin closes or the parent dies; with a file's name, do the one job that it asks for."""
    if sys.argv[1:]:
        _work(json.loads(Path(sys.argv[1]).read_text()))
    die_with_parent(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print while they load must not reach the protocol
    with _cards_hidden():
        _preload()
    zygote = os.getpid()
    for line in sys.stdin:
        request = json.loads(line)
        if not request.get("fresh"):
            _import_once(request)
        request["faults"] = due(_point(request))  # counted here, and not in each child
        pid = os.fork()
        if pid == 0:
            _child(request, zygote)
        answers.write(json.dumps({"pid": pid}) + "\n")
        _, status = os.waitpid(pid, 0)
        answers.write(json.dumps({"status": status}) + "\n")


if __name__ == "__main__":
    main()
