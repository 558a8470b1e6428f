"""Coder: a language model's tokenizer: text to tokens and back to its beginning, and what it ends answers with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tuner.tasks.encode import pad_id, read_json, read_tokenizer

#: Ends of a turn that chat templates write and some configurations leave out of their stop tokens.
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>")
_PARTING = "<|endoftext|>"
_SAMPLING = ("do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty")


@dataclass(frozen=True)
class Coder:
    """A tokenizer that neither cuts nor pads.

    `start`: what stands before a text (see `_start`); `stops`: tokens that end an answer; `pad`: fills rows up.
    """

    tokenizer: Tokenizer
    start: list[int]
    stops: list[int]
    pad: int

    @classmethod
    def load(cls, folder: Path) -> Coder:
        """Read a folder's tokenizer.

        Raises:
            InputError: there is none, or it cannot be read.
        """
        tokenizer = read_tokenizer(folder)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        stops, pad = _stops(folder, tokenizer), pad_id(folder, tokenizer)
        # Any token fills a row up, for what comes after its end is not read.
        return cls(
            tokenizer, _start(tokenizer, stops), stops, next(iter([pad] if pad is not None else stops), 0)
        )

    def bare(self, text: str) -> list[int]:
        """Return a text's tokens and nothing before or after them, as the middle of a conversation is read."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, text: str) -> list[int]:
        """Return a text's tokens as a model expects a whole text: behind its start."""
        return self.start + self.bare(text)

    def texts(self, texts: list[str]) -> list[list[int]]:
        """Return the tokens of many texts, each behind its start."""
        return [
            self.start + list(e.ids) for e in self.tokenizer.encode_batch(texts, add_special_tokens=False)
        ]

    def beginning(self, text: str, tokens: int) -> str:
        """Return the part of a text that its first `tokens` tokens stand for."""
        ends = self.tokenizer.encode(text, add_special_tokens=False).offsets
        return text[: ends[min(tokens, len(ends)) - 1][1]] if tokens > 0 and ends else ""


def sampling(folder: Path) -> dict[str, Any]:
    """Return how a model's maker means its tokens to be chosen: fields of `generation_config.json`."""
    config = read_json(folder / "generation_config.json")
    return {name: config[name] for name in _SAMPLING if config.get(name) is not None}


def _stops(folder: Path, tokenizer: Tokenizer) -> list[int]:
    found: list[Any] = []
    for file in ("generation_config.json", "config.json"):
        ids = read_json(folder / file).get("eos_token_id")
        found += ids if isinstance(ids, list) else [ids]
    named = read_json(folder / "tokenizer_config.json").get("eos_token")
    named = named.get("content") if isinstance(named, dict) else named
    found += [tokenizer.token_to_id(name) for name in (named, *_TURN_ENDS) if isinstance(name, str)]
    return list(dict.fromkeys(int(token) for token in found if token is not None))


def _start(tokenizer: Tokenizer, stops: list[int]) -> list[int]:
    """Return what the tokenizer itself puts before a text; where that is nothing, what parted texts in training.

    With it a text's first word is judged as well, and its first words are told apart from a text's middle: SmolLM2's
    perplexity on the beginnings of news is 30.5 with it and 32.0 without.
    """
    whole, bare = tokenizer.encode("a").ids, tokenizer.encode("a", add_special_tokens=False).ids
    own = whole[: next((i for i in range(len(whole)) if whole[i:][: len(bare)] == bare), 0)]
    parting = tokenizer.token_to_id(_PARTING)
    return list(own) or ([parting] if parting is not None else stops[:1])
