"""How the next token is chosen: the likeliest, or drawn (temperature, top_k, top_p, repetition penalty, seed)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .generating import Choose

_NAMES = ("temperature", "top_k", "top_p", "repetition_penalty", "seed")


@dataclass(frozen=True)
class Sampling:
    """The settings, in the order in which they are applied after the penalty, as in transformers.

    `temperature` 0 takes the likeliest token. `top_k` 0 and `top_p` 1 leave all tokens in.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None

    @classmethod
    def of(cls, generation: Mapping[str, Any]) -> Sampling:
        """Return a model's own settings, from the names of a generation_config.json; greedy if it says no more."""
        given = {name: generation[name] for name in _NAMES if generation.get(name) is not None}
        drawn = generation.get("do_sample", "temperature" in given)
        return cls(**{"temperature": 1.0, **given}) if drawn else cls(**{**given, "temperature": 0.0})

    def changed(self, **given: float | None) -> Sampling:
        """Return the settings with those that are not None put in place.

        Whoever names `top_p` or `top_k` wants tokens drawn: where nothing says a temperature it is 1 then.
        """
        said = {name: value for name, value in given.items() if value is not None}
        if not self.temperature and "temperature" not in said and {"top_p", "top_k"} & said.keys():
            said["temperature"] = 1.0
        return replace(self, **said)  # type: ignore[arg-type]

    def chooser(self, prompt: Sequence[int]) -> Choose | None:
        """Return what chooses the tokens of one answer to this prompt; None is the session's own greedy way."""
        if not self.temperature and self.repetition_penalty == 1.0:
            return None
        return Chooser(self, prompt)


class Chooser:
    """Chooses the tokens of one answer. An engine that draws by itself, and shows no logits, reads `sampling`."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        self.sampling = sampling
        self._seen = set(prompt)
        self._random = np.random.default_rng(None if sampling.seed is None else sampling.seed % 2**64)

    def __call__(self, logits: np.ndarray) -> int:
        """Return the next token by its logits (vocabulary,)."""
        token = self._choose(penalised(logits, self._seen, self.sampling.repetition_penalty))
        self._seen.add(token)
        return token

    def _choose(self, logits: np.ndarray) -> int:
        wanted = self.sampling
        if not wanted.temperature:
            return int(logits.argmax())
        tokens, shares = nucleus(logits / wanted.temperature, wanted.top_k, wanted.top_p)
        upto = shares.cumsum()
        return int(tokens[np.searchsorted(upto, self._random.random() * upto[-1], "right")])


def penalised(logits: np.ndarray, seen: set[int], penalty: float) -> np.ndarray:
    """Return the logits in float64, those of seen tokens made less likely by the factor (CTRL, Keskar 2019, 4.1)."""
    changed = logits.astype(np.float64)
    if penalty != 1.0 and seen:
        at = np.fromiter(seen, dtype=np.int64)
        changed[at] = np.where(changed[at] > 0, changed[at] / penalty, changed[at] * penalty)
    return changed


def nucleus(logits: np.ndarray, top_k: int, top_p: float) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens to draw from, likeliest first, and their unnormalised shares.

    They are the `top_k` likeliest, and of those the fewest that have `top_p` of the probability (Holtzman 2020, 3.1).
    """
    tokens = np.arange(len(logits))
    if 0 < top_k < len(logits):
        tokens = np.argpartition(logits, -top_k)[-top_k:]
    shares = np.exp(logits[tokens] - logits[tokens].max())
    shares /= shares.sum()
    if top_p < 1.0:
        # All below this share have together less than 1 - top_p: they are out, and need not be sorted.
        likely = shares >= (1.0 - top_p) / len(shares)
        tokens, shares = tokens[likely], shares[likely]
    order = np.argsort(-shares, kind="stable")
    tokens, shares = tokens[order], shares[order]
    kept = int(np.searchsorted(shares.cumsum(), top_p)) + 1 if top_p < 1.0 else len(shares)
    return tokens[:kept], shares[:kept]
