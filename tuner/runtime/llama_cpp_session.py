"""Serve a GGUF with llama.cpp. Needs numpy and llama-cpp-python."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import llama_cpp as ll
import numpy as np

from .generating import Choose, check_room
from .lookup import Drafts, lookup_loop
from .token_loop import check_tokens, scored, token_loop

#: Tokens scored together, which keeps the logits small.
_TOGETHER = 32
_BATCH = 512  # tokens of a prompt that are read in one pass
_LEAST = 512  # tokens that the first cache holds; a longer conversation gets a larger one
_SEQUENCES = 64
_KV = {None: 1, 16: 1, 8: 8, 4: 2}  # f16, q8_0, q4_0: ggml.h's `ggml_type`
_FLASH = 1


class Session:
    """One model and one cache, whose memory grows with the longest conversation so far."""

    def __init__(self, directory: Path, threads: int) -> None:
        described = json.loads((directory / "artefact.json").read_text())
        self.context, self.vocabulary = int(described["context"]), int(described["vocabulary"])
        self.draft: str | None = None
        self.drafts = Drafts()
        self._threads, self._kv = threads, _KV[described["kv_bits"]]
        hush()
        settings = ll.llama_model_default_params()
        settings.n_gpu_layers = 0
        file = directory / described["model"]
        self._model = ll.llama_model_load_from_file(str(file).encode(), settings)
        if not self._model:
            raise RuntimeError(f"llama.cpp cannot load {file.name}")
        self._batch = ll.llama_batch_init(_BATCH, 0, 1)
        self._room, self._held = 0, None
        self._cache(_LEAST)

    def stream(
        self, prompt: Sequence[int], most: int, stop: Collection[int] = (), choose: Choose | None = None
    ) -> Iterator[int]:
        """Yield the next tokens (see `GeneratingSession`).

        Raises:
            ValueError: the prompt does not fit.
        """
        check_room(prompt, most, self.context, self.vocabulary)
        told = _Told(self, len(prompt) + most)
        if self.draft == "lookup" and choose is None:
            return lookup_loop(told.read_all, told.forget, prompt, most, stop, self.drafts)
        return token_loop(told.read, prompt, most, stop, choose)

    def stream_together(self, prompts: Sequence[Sequence[int]], most: int) -> Iterator[tuple[int, int]]:
        """Yield (which prompt, token) of greedy answers that are made together: the weights are read once for all.

        Raises:
            ValueError: a prompt does not fit, or there are more than 64.
        """
        if len(prompts) > _SEQUENCES:
            raise ValueError(f"{len(prompts)} prompts: at most {_SEQUENCES} are answered together")
        for prompt in prompts:
            check_room(prompt, most, self.context, self.vocabulary)
        self._cache(sum(len(prompt) + most for prompt in prompts))
        tokens = [
            int(self._read(prompt, 0, [len(prompt) - 1], who)[0].argmax())
            for who, prompt in enumerate(prompts)
        ]
        for made in range(1, most + 1):
            yield from enumerate(tokens)
            if made < most:
                places = [len(prompt) + made - 1 for prompt in prompts]
                tokens = self._step(tokens, places).argmax(axis=-1).tolist()

    def score(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log-probabilities and likeliest tokens (n - 1,) of tokens (n,) in one pass.

        Raises:
            ValueError: the tokens do not fit.
        """
        check_tokens(tokens, self.context, self.vocabulary)
        return scored(_Told(self, len(tokens)).read_all, tokens, _TOGETHER)

    def _cache(self, room: int) -> None:
        """Empty the cache; make a larger one where it holds too little."""
        if room <= self._room:
            ll.llama_memory_clear(ll.llama_get_memory(self._held), False)
            return
        if self._held is not None:
            ll.llama_free(self._held)
        self._room = max(_LEAST, 1 << (room - 1).bit_length())
        settings = ll.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = self._room, _BATCH, _BATCH
        settings.n_seq_max, settings.kv_unified = _SEQUENCES, True
        settings.n_threads = settings.n_threads_batch = self._threads
        settings.type_k = settings.type_v = self._kv
        settings.flash_attn_type, settings.no_perf = _FLASH, True
        self._held = ll.llama_init_from_model(self._model, settings)
        if not self._held:
            raise RuntimeError(f"llama.cpp cannot make a cache of {self._room} tokens")

    def _read(
        self, tokens: Sequence[int] | np.ndarray, place: int, kept: Collection[int], sequence: int = 0
    ) -> np.ndarray:
        """Return logits (kept, vocabulary) at chosen places of tokens that follow `place` others of a sequence."""
        found = []
        for start in range(0, len(tokens), _BATCH):
            part = tokens[start : start + _BATCH]
            wanted = [i for i in range(len(part)) if start + i in kept]
            rows = [(int(t), place + start + i, sequence, i in wanted) for i, t in enumerate(part)]
            found.append(self._decoded(rows, wanted))
        return np.concatenate(found)

    def _step(self, tokens: Sequence[int], places: Sequence[int]) -> np.ndarray:
        """Return logits (sequences, vocabulary) after one more token of each sequence."""
        rows = [(t, place, who, True) for who, (t, place) in enumerate(zip(tokens, places, strict=True))]
        return self._decoded(rows, range(len(rows)))

    def _decoded(self, rows: Sequence[tuple[int, int, int, bool]], wanted: Sequence[int]) -> np.ndarray:
        batch = self._batch
        batch.n_tokens = len(rows)
        for i, (token, place, sequence, keeps) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.logits[i] = token, place, keeps
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
        code = ll.llama_decode(self._held, batch)
        if code:
            raise RuntimeError(f"llama.cpp could not read {len(rows)} tokens (code {code})")
        logits = np.empty((len(wanted), self.vocabulary), dtype=np.float32)
        for row, i in enumerate(wanted):
            logits[row] = np.ctypeslib.as_array(ll.llama_get_logits_ith(self._held, i), (self.vocabulary,))
        return logits

    def _forget(self, place: int) -> None:
        ll.llama_memory_seq_rm(ll.llama_get_memory(self._held), 0, place, -1)


class _Told:
    """What the one conversation was told so far."""

    def __init__(self, session: Session, room: int) -> None:
        self._session, self._place, self._wanted = session, 0, room

    def read(self, tokens: Sequence[int]) -> np.ndarray:
        """Read tokens after those before; return the logits (vocabulary,) of what may follow."""
        return self._told(tokens, [len(tokens) - 1])[0]

    def read_all(self, tokens: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the logits (tokens, vocabulary) after each."""
        return self._told(tokens, range(len(tokens)))

    def forget(self, count: int) -> None:
        """Take back the last tokens."""
        if count:
            self._place -= count
            self._session._forget(self._place)

    def _told(self, tokens: Sequence[int] | np.ndarray, kept: Collection[int]) -> np.ndarray:
        if not self._place:
            self._session._cache(self._wanted)  # nothing of an earlier conversation is left
        logits = self._session._read(tokens, self._place, kept)
        self._place += len(tokens)
        return logits


@cache
def hush() -> Any:
    """Keep llama.cpp's own report of what it loads off stderr; returned, so that the callback lives on."""
    silent = ll.llama_log_callback(lambda level, text, data: None)
    ll.llama_log_set(silent, ctypes.c_void_p(0))
    ll.llama_backend_init()
    return silent


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
