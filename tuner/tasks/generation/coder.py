"""Coder: a language model's tokenizer: text to tokens and back to its beginning, and what it ends answers with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tuner.tasks.encode import pad_id, read_json, read_tokenizer

#: Ends of a turn that chat templates write and some configurations leave out of their stop tokens.
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>")
_BETWEEN = "<|endoftext|>"
_SAMPLING = ("do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty")


@dataclass(frozen=True)
class Coder:
    """A tokenizer that neither cuts nor pads.

    `start`: what it puts before a text by itself (a beginning-of-text token, or nothing); `between`: what stands
    before each text where several follow each other; `stops`: tokens that end an answer; `pad`: fills rows up.
    """

    tokenizer: Tokenizer
    start: list[int]
    between: list[int]
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
        whole, bare = tokenizer.encode("a").ids, tokenizer.encode("a", add_special_tokens=False).ids
        start = whole[: next((i for i in range(len(whole)) if whole[i:][: len(bare)] == bare), 0)]
        stops = _stops(folder, tokenizer)
        pad = pad_id(folder, tokenizer)
        return cls(
            tokenizer,
            start,
            start or _between(tokenizer, stops),
            stops,
            pad if pad is not None else _any(stops),
        )

    def bare(self, text: str) -> list[int]:
        """Return a text's tokens and nothing before or after them, as the middle of a conversation is read."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, text: str) -> list[int]:
        """Return a text's tokens as a model expects a text: after what the tokenizer puts before it."""
        return self.start + self.bare(text)

    def beginning(self, text: str, tokens: int) -> str:
        """Return the part of a text that its first `tokens` tokens stand for."""
        ends = self.tokenizer.encode(text, add_special_tokens=False).offsets
        return text[: ends[min(tokens, len(ends)) - 1][1]] if tokens > 0 and ends else ""


def sampling(folder: Path) -> dict[str, Any]:
    """Return how a model's maker means its tokens to be chosen: fields of `generation_config.json`."""
    config = read_json(folder / "generation_config.json")
    return {name: config[name] for name in _SAMPLING if config.get(name) is not None}


def _stops(folder: Path, tokenizer: Tokenizer) -> list[int]:
    found: list[int] = []
    for file in ("generation_config.json", "config.json"):
        ids = read_json(folder / file).get("eos_token_id")
        found += ids if isinstance(ids, list) else [ids]
    named = read_json(folder / "tokenizer_config.json").get("eos_token")
    named = named.get("content") if isinstance(named, dict) else named
    found += [tokenizer.token_to_id(name) for name in (named, *_TURN_ENDS) if isinstance(name, str)]
    return list(dict.fromkeys(int(token) for token in found if token is not None))


def _between(tokenizer: Tokenizer, stops: list[int]) -> list[int]:
    token = tokenizer.token_to_id(_BETWEEN)
    return [token] if token is not None else stops[:1]


def _any(stops: list[int]) -> int:
    """Return a token to fill rows up with: any will do, for what comes after a row's end is not read."""
    return stops[0] if stops else 0
