"""Serve a stateful OpenVINO IR of a language model. Needs numpy and openvino."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13

from .drafting import Drafting
from .token_loop import check_tokens, scored

#: Tokens scored together. Within one pass attention sees exact keys and values, afterwards what the cache made of them:
#: scored in one pass, a cache of 4 bits would look as good as one of 16. It also keeps the logits small.
_TOGETHER = 32
_KV = {16: "f16", 8: "u8", 4: "u4"}


class Session(Drafting):
    """One compiled model that holds its own KV cache; one stream, for the lowest latency of a single answer."""

    def __init__(self, directory: Path, threads: int) -> None:
        super().__init__(directory, threads)
        described = json.loads((directory / "artefact.json").read_text())
        self.context, self.vocabulary = int(described["context"]), int(described["vocabulary"])
        core = ov.Core()
        model = _keeping(core.read_model(str(directory / described["model"])))
        compiled = core.compile_model(model, "CPU", settings(described, threads))
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        self._beam = np.zeros(1, dtype=np.int32)

    def score(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log-probabilities and likeliest tokens (n - 1,) of tokens (n,) in one pass.

        Raises:
            ValueError: the tokens do not fit.
        """
        check_tokens(tokens, self.context, self.vocabulary)
        return scored(self.told(len(tokens)).read_all, tokens, _TOGETHER)

    def twin(self) -> Session:
        """Return a session over the same model, with a cache of its own."""
        other = copy(self)
        other._request = self._compiled.create_infer_request()
        return other

    def told(self, room: int) -> _Told:
        """Return a new conversation of at most so many tokens; the one before is over."""
        return _Told(self._infer, self._request.reset_state, room)

    def _infer(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Return logits (kept, vocabulary), valid until the next call."""
        found = self._request.infer({**inputs, "beam_idx": self._beam}, share_inputs=True, share_outputs=True)
        return found[0][0]


class _Told:
    """What a conversation's model was told so far. Tokens that are taken back stay in its cache, unseen."""

    def __init__(
        self, infer: Callable[[dict[str, np.ndarray]], np.ndarray], reset: Callable[[], None], room: int
    ) -> None:
        self._infer, self._reset = infer, reset
        self._seen = np.ones((1, room), dtype=np.int64)
        self._held = 0  # tokens in the cache
        self._place = 0  # position of the next token: those taken back have none

    def read(self, tokens: Sequence[int]) -> np.ndarray:
        """Read tokens after those before; return the logits (vocabulary,) of what may follow."""
        return self._read(tokens, np.array([len(tokens) - 1]))[0]

    def read_all(self, tokens: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the logits (tokens, vocabulary) after each."""
        return self._read(tokens, np.arange(len(tokens)))

    def forget(self, count: int) -> None:
        """Take back the last tokens."""
        self._seen[0, self._held - count : self._held] = 0
        self._place -= count

    def _read(self, tokens: Sequence[int] | np.ndarray, kept: np.ndarray) -> np.ndarray:
        if not self._held:
            self._reset()  # whatever an earlier conversation left
        self._make_room(len(tokens))
        end, place = self._held + len(tokens), self._place + len(tokens)
        logits = self._infer(
            {
                "input_ids": np.array(tokens, dtype=np.int64)[None],
                "attention_mask": self._seen[:, :end],
                "position_ids": np.arange(self._place, place)[None],
                "kept": kept,
            }
        )
        self._held, self._place = end, place
        return logits

    def _make_room(self, count: int) -> None:
        """Lengthen the mask: tokens that were taken back need places in the cache beyond the context's."""
        if self._held + count > self._seen.shape[1]:
            self._seen = np.pad(self._seen, ((0, 0), (0, self._held + count)), constant_values=1)


def _keeping(model: Any) -> Any:
    """Give the model an input `kept`: the positions after which logits are wanted.

    A large vocabulary makes the last matrix the dearest: reading a prompt needs it at one position only.
    """
    kept = opset13.parameter([-1], ov.Type.i64, name="kept")
    kept.output(0).get_tensor().set_names({"kept"})
    last = model.output("logits").get_node().input_value(0).get_node()  # hidden states times the last matrix
    chosen = opset13.gather(last.input_value(0), kept, opset13.constant(1))
    last.input(0).replace_source_output(chosen.output(0))
    model.add_parameters([kept])
    model.validate_nodes_and_infer_types()
    return model


def settings(described: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """Return the CPU plug-in's settings for an artefact as it describes itself."""
    # Said outright: a host with bf16 instructions would use them for an fp32 artefact unasked. Low-bit weights are
    # multiplied in int8; bf16 is for what lies between.
    bf16 = described["bits"] != 32 and "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    wanted: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        "ENABLE_CPU_PINNING": False,  # the process is pinned already
        # Activations to int8 in groups, for low-bit weights: of 0 (never), 32, 64 and 128 the fastest for 4-bit ones.
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 32,
    }
    if described["kv_bits"]:
        wanted["KV_CACHE_PRECISION"] = _KV[described["kv_bits"]]
    return wanted


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
