"""Render a chat template, as transformers does: jinja2 in its sandbox, with the same globals and settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


class TemplateRefusedError(ValueError):
    """The template cannot be read, or refuses these messages; one line."""


class ChatTemplate:
    """A model's chat template. `special` are the texts of the tokenizer's special tokens by their names."""

    def __init__(self, text: str, special: Mapping[str, str]) -> None:
        self._special = dict(special)
        try:
            self._template = _environment().from_string(text)
        except jinja2.TemplateError as error:
            raise TemplateRefusedError(f"the chat template cannot be read: {error}") from None

    @classmethod
    def read(cls, directory: Path) -> ChatTemplate | None:
        """Return the template of a checkpoint or bundle, None where it has none.

        It is `chat_template.jinja`, or a `chat_template` of `tokenizer_config.json`.
        """
        config = _json(directory / "tokenizer_config.json")
        file = directory / "chat_template.jinja"
        text = file.read_text(encoding="utf-8") if file.exists() else config.get("chat_template")
        return cls(text, special_tokens(config)) if isinstance(text, str) else None

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Return the prompt's text: the messages, and the beginning of the assistant's answer.

        Raises:
            TemplateRefusedError: the template refuses them (`raise_exception`), or trips over them.
        """
        values = {"messages": [dict(m) for m in messages], "tools": None, "documents": None, **self._special}
        try:
            return self._template.render(**values, add_generation_prompt=True)
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise TemplateRefusedError(
                f"the model's chat template refuses these messages: {_line(error)}"
            ) from None


def special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the special tokens' texts of a tokenizer_config.json, where each is a text or has a `content`."""
    found = {name: config.get(name) for name in _SPECIAL}
    texts = {name: v.get("content") if isinstance(v, dict) else v for name, v in found.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


class _Generation(Extension):
    """`{% generation %}` marks the assistant's part for training; here it is its body and no more."""

    tags = {"generation"}  # noqa: RUF012 — as jinja2 wants it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **more: Any) -> str:
    """Return JSON without the escaping of HTML that jinja2's own filter does."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **more)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
