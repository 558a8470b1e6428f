"""One rank: a process that holds its part of a model and does what `Ranks` says, in step with the others.

`python -m RUNTIME.rank ARTEFACT --rank 1 --tensor 2 …`, started by `ranks.py`, which it does not outlive.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from collections.abc import Mapping, Sequence
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from . import torch_generating_session, torch_session
from .orphans import die_with_parent
from .pipeline_parallel import pipelined
from .tensor_parallel import sharded

#: How long one rank may wait for another inside a collective. Who waits for the answer is less patient.
_PATIENCE = timedelta(minutes=10)


class Duty:
    """What a rank does when it is asked: what an undivided session would, on a model that reaches into the others'."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._told: Any = None

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the logits (batch, labels) of a classifier."""
        logits: np.ndarray = self._session.run(inputs)
        return logits

    def score(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log-probabilities and likeliest tokens (n - 1,)."""
        found: tuple[np.ndarray, np.ndarray] = self._session.score(tokens)
        return found

    def read(self, tokens: Sequence[int], fresh: bool) -> np.ndarray:
        """Read tokens after those read before, or after none; return the logits (vocabulary,) of the next."""
        if fresh:
            self._told = self._session.told(len(tokens))
        logits: np.ndarray = self._told.read(tokens)
        return logits

    def details(self, *given: Any) -> dict[str, float]:
        """Return what this rank's device says."""
        found: dict[str, float] = self._session.details(*given) if hasattr(self._session, "details") else {}
        return found


def main() -> None:
    """Load, say so, and do what is asked until nobody asks any more."""
    asked = _asked()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C on a terminal stops an answer, and not the model
    die_with_parent(asked.parent)
    if asked.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [int(core) for core in asked.cores.split(",")])
    pipe = Connection(asked.pipe)
    try:
        duty = Duty(_session(asked, pipe))
        pipe.send((0, "", None))
        while True:
            number, operation, given = pipe.recv()
            answer = getattr(duty, operation)(*given)
            pipe.send((number, "", answer if asked.rank == 0 or operation == "details" else None))
    except EOFError:
        return
    except Exception as error:
        _complain(pipe, error)


def _complain(pipe: Connection, error: Exception) -> None:
    """Say what went wrong, and stay until it was heard: who ends by itself would be taken for its cause."""
    text = " ".join(str(error).split())[:400]
    try:
        pipe.send((0, f"failed: {type(error).__name__}: {text}", None))
        pipe.recv()
    except (EOFError, OSError):
        return


def _session(asked: argparse.Namespace, pipe: Connection) -> Any:
    """Return an undivided model's session around this rank's part."""
    described = json.loads((asked.artefact / "artefact.json").read_text())
    torch.set_num_threads(asked.threads)
    device = torch.device(described["device"], asked.rank if described["device"] == "cuda" else None)
    _join(asked, device, pipe)
    model: nn.Module = _part(asked, described, device)
    generates = described["task"] == "text-generation"
    kind = torch_generating_session if generates else torch_session
    return kind.Session(asked.artefact, asked.threads, model)


def _part(asked: argparse.Namespace, described: Mapping[str, Any], device: torch.device) -> nn.Module:
    folder = asked.artefact / described["model"]
    if asked.pipeline > 1:
        return pipelined(folder, described, device, asked.pipeline)
    return sharded(folder, described, device, asked.tensor)


def _join(asked: argparse.Namespace, device: torch.device, pipe: Connection) -> None:
    """Meet the other ranks: the first opens a store on a free port, and the others are told which."""
    count = asked.tensor * asked.pipeline
    if device.type == "cuda":
        if torch.cuda.device_count() < count:
            raise ValueError(f"{count} ranks need a GPU each, and {torch.cuda.device_count()} can be used")
        torch.cuda.set_device(device)
    if asked.rank == 0:
        store = dist.TCPStore(
            "127.0.0.1", 0, count, is_master=True, timeout=_PATIENCE, wait_for_workers=False
        )
        pipe.send((0, "", store.port))
    else:
        store = dist.TCPStore("127.0.0.1", pipe.recv(), count, is_master=False, timeout=_PATIENCE)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=asked.rank, world_size=count, timeout=_PATIENCE)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("artefact", type=Path)
    for name in ("rank", "threads", "tensor", "pipeline", "parent", "pipe"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--cores", required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
