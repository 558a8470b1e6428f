"""Serve a stateful OpenVINO IR of a language model. Needs numpy and openvino."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from .generating import Choose, check_room, log_softmax_at
from .token_loop import check_tokens, token_loop

#: Tokens scored together. Within one pass attention sees exact keys and values, afterwards what the cache made of them:
#: scored in one pass, a cache of 4 bits would look as good as one of 16. It also keeps the logits small.
_TOGETHER = 32
_KV = {16: "f16", 8: "u8", 4: "u4"}


class Session:
    """One compiled model that holds its own KV cache; one stream, for the lowest latency of a single answer."""

    def __init__(self, directory: Path, threads: int) -> None:
        described = json.loads((directory / "artefact.json").read_text())
        self.context, self.vocabulary = int(described["context"]), int(described["vocabulary"])
        core = ov.Core()
        compiled = core.compile_model(
            str(directory / described["model"]), "CPU", _settings(core, described, threads)
        )
        self._request = compiled.create_infer_request()
        self._seen = np.ones((1, self.context), dtype=np.int64)
        self._beam = np.zeros(1, dtype=np.int32)

    def stream(
        self, prompt: Sequence[int], most: int, stop: Collection[int] = (), choose: Choose | None = None
    ) -> Iterator[int]:
        """Yield the next tokens (see `GeneratingSession`).

        Raises:
            ValueError: the prompt does not fit.
        """
        check_room(prompt, most, self.context, self.vocabulary)
        return token_loop(self._reader(), prompt, most, stop, choose)

    def score(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log-probabilities and likeliest tokens (n - 1,) of tokens (n,) in one pass.

        Raises:
            ValueError: the tokens do not fit.
        """
        check_tokens(tokens, self.context, self.vocabulary)
        given, read = np.asarray(tokens, dtype=np.int64), self._continuing()
        taken, likeliest = [], []
        for start in range(0, len(given) - 1, _TOGETHER):
            answered = given[start + 1 : start + 1 + _TOGETHER]
            logits = read(given[start : start + len(answered)], range(len(answered)))
            taken.append(log_softmax_at(logits, answered))
            likeliest.append(logits.argmax(axis=-1))
        return np.concatenate(taken), np.concatenate(likeliest)

    def _reader(self) -> Callable[[Sequence[int]], np.ndarray]:
        """Return a function that reads tokens after those it read before, and returns the logits (vocabulary,) then."""
        read = self._continuing()
        return lambda tokens: read(tokens, [len(tokens) - 1])[0]

    def _continuing(self) -> Callable[[Sequence[int] | np.ndarray, Sequence[int]], np.ndarray]:
        """Return the same for logits (kept, vocabulary) at chosen places of what is read."""
        before = 0

        def read(tokens: Sequence[int] | np.ndarray, kept: Sequence[int]) -> np.ndarray:
            nonlocal before
            if not before:
                self._request.reset_state()  # whatever an earlier conversation left
            logits = self._infer(np.array(tokens, dtype=np.int64), before, np.array(kept))
            before += len(tokens)
            return logits

        return read

    def _infer(self, given: np.ndarray, before: int, kept: np.ndarray) -> np.ndarray:
        """Return logits (kept, vocabulary), valid until the next call, of tokens (n,) that follow `before` others."""
        total = before + len(given)
        inputs = {
            "input_ids": given[None],
            "attention_mask": self._seen[:, :total],
            "position_ids": np.arange(before, total)[None],
            "kept": kept,
            "beam_idx": self._beam,
        }
        return self._request.infer(inputs, share_inputs=True, share_outputs=True)[0][0]


def _settings(core: Any, described: dict[str, Any], threads: int) -> dict[str, Any]:
    # Said outright: a host with bf16 instructions would use them for an fp32 artefact unasked.
    bf16 = described["bits"] == 16 and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        "ENABLE_CPU_PINNING": False,  # the process is pinned already
    }
    if described["kv_bits"]:
        settings["KV_CACHE_PRECISION"] = _KV[described["kv_bits"]]
    return settings


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
