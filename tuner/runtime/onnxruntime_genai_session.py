"""Serve a model made by ONNX Runtime GenAI's builder. Needs numpy and onnxruntime-genai."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime_genai as og

from .generating import Choose, check_room
from .token_loop import check_tokens, scored, token_loop

#: Tokens scored together, which keeps the logits small.
_TOGETHER = 32


class Session:
    """One model; each answer has a generator, and with it a cache, of its own."""

    def __init__(self, directory: Path, threads: int) -> None:
        described = json.loads((directory / "artefact.json").read_text())
        self.context, self.vocabulary = int(described["context"]), int(described["vocabulary"])
        config = og.Config(str(directory / described["model"]))
        # Idle threads that spin steal the core from whatever else runs, other replicas above all.
        options = {
            "intra_op_num_threads": threads,
            "inter_op_num_threads": 1,
            "session.force_spinning_stop": "1",
        }
        config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
        self._model = og.Model(config)

    def stream(
        self, prompt: Sequence[int], most: int, stop: Collection[int] = (), choose: Choose | None = None
    ) -> Iterator[int]:
        """Yield the next tokens (see `GeneratingSession`).

        Raises:
            ValueError: the prompt does not fit.
        """
        check_room(prompt, most, self.context, self.vocabulary)
        read = self._reader(len(prompt) + most)
        return token_loop(lambda tokens: read(tokens)[-1], prompt, most, stop, choose)

    def score(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log-probabilities and likeliest tokens (n - 1,) of tokens (n,) in one pass.

        Raises:
            ValueError: the tokens do not fit.
        """
        check_tokens(tokens, self.context, self.vocabulary)
        return scored(self._reader(len(tokens)), tokens, _TOGETHER)

    def _reader(self, longest: int) -> Callable[[Sequence[int] | np.ndarray], np.ndarray]:
        """Return a function that reads tokens after those before, and returns the logits (tokens, vocabulary)."""
        params = og.GeneratorParams(self._model)
        params.set_search_options(max_length=longest, do_sample=False)
        generator = og.Generator(self._model, params)

        def read(tokens: Sequence[int] | np.ndarray) -> np.ndarray:
            generator.append_tokens(np.asarray(tokens, dtype=np.int32))
            return generator.get_output("logits")[0]

        return read


def load(directory: Path, threads: int) -> Session:
    """Return the session of an artefact directory."""
    return Session(Path(directory), threads)
