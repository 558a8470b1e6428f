"""llama.cpp's context: a model's KV cache for the tokens of one sequence or of several, and what is computed in it."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import llama_cpp as ll
import numpy as np

BATCH = 512  # tokens that are read in one pass
LEAST = 512  # tokens that the first cache holds; what needs more gets a larger one
_KV = {None: 1, 16: 1, 8: 8, 4: 2}  # f16, q8_0, q4_0: ggml.h's `ggml_type`
_FLASH = 1

#: Token, its place in its sequence, the sequence, and if the logits after it are wanted.
Row = tuple[int, int, int, bool]


class Cache:
    """A cache that is made when it is first needed, and made anew where it holds too little; `room` is in tokens."""

    def __init__(
        self, model: Any, vocabulary: int, threads: int, kv_bits: int | None, sequences: int = 1
    ) -> None:
        self._model, self._vocabulary = model, vocabulary
        self._threads, self._kv, self._sequences = threads, _KV[kv_bits], sequences
        self._batch = ll.llama_batch_init(BATCH, 0, 1)
        self._held: Any = None
        self.room = 0

    def empty(self, room: int) -> None:
        """Forget everything; be a larger cache where so many tokens do not fit."""
        if room <= self.room:
            ll.llama_memory_clear(ll.llama_get_memory(self._held), False)
            return
        if self._held is not None:
            ll.llama_free(self._held)
        self.room = max(LEAST, 1 << (room - 1).bit_length())
        self._held = ll.llama_init_from_model(self._model, self._settings())
        if not self._held:
            self.room, self._held = 0, None
            raise RuntimeError(f"llama.cpp cannot make a cache of {room} tokens")

    def forget(self, sequence: int, place: int = 0) -> None:
        """Free what a sequence holds from a place on."""
        ll.llama_memory_seq_rm(ll.llama_get_memory(self._held), sequence, place, -1)

    def read(
        self, tokens: Sequence[int] | np.ndarray, place: int, kept: Collection[int], sequence: int = 0
    ) -> np.ndarray:
        """Return logits (kept, vocabulary) at chosen places of tokens that follow `place` others of a sequence."""
        found = []
        for start in range(0, len(tokens), BATCH):
            part = enumerate(tokens[start : start + BATCH], start)
            found.append(self.decoded([(int(t), place + i, sequence, i in kept) for i, t in part]))
        return np.concatenate(found)

    def decoded(self, rows: Sequence[Row]) -> np.ndarray:
        """Compute at most BATCH tokens, of whichever sequences; return the logits (wanted, vocabulary).

        Raises:
            RuntimeError: llama.cpp failed.
        """
        batch = self._batch
        batch.n_tokens = len(rows)
        for i, (token, place, sequence, wanted) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.logits[i] = token, place, wanted
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
        code = ll.llama_decode(self._held, batch)
        if code:
            raise RuntimeError(f"llama.cpp could not read {len(rows)} tokens (code {code})")
        after = [i for i, row in enumerate(rows) if row[3]]
        logits = np.empty((len(after), self._vocabulary), dtype=np.float32)
        for number, i in enumerate(after):
            found = ll.llama_get_logits_ith(self._held, i)
            logits[number] = np.ctypeslib.as_array(found, (self._vocabulary,))
        return logits

    def _settings(self) -> Any:
        settings = ll.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = self.room, BATCH, BATCH
        settings.n_seq_max, settings.kv_unified = self._sequences, True
        settings.n_threads = settings.n_threads_batch = self._threads
        settings.type_k = settings.type_v = self._kv
        settings.flash_attn_type, settings.no_perf = _FLASH, True
        return settings


def load_model(file: Path) -> Any:
    """Return llama.cpp's model of a GGUF.

    Raises:
        RuntimeError: it cannot be loaded.
    """
    hush()
    settings = ll.llama_model_default_params()
    settings.n_gpu_layers = 0
    model = ll.llama_model_load_from_file(str(file).encode(), settings)
    if not model:
        raise RuntimeError(f"llama.cpp cannot load {file.name}")
    return model


@cache
def hush() -> Any:
    """Keep llama.cpp's own report of what it loads off stderr; returned, so that the callback lives on."""
    silent = ll.llama_log_callback(lambda level, text, data: None)
    ll.llama_log_set(silent, ctypes.c_void_p(0))
    ll.llama_backend_init()
    return silent
