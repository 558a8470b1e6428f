"""Chat: the tokenizer, the template of its turns, and the tokens that end one, as files of a checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer

from tuner.compress.checkpoint import CHAT_TEMPLATE, GENERATION, TOKENIZER_FILES
from tuner.compress.reading import line_of
from tuner.errors import InputError


def bring_tokenizer(folder: Path, out: Path) -> None:
    """Copy a folder's tokenizer files, its chat template and its defaults of generation."""
    for name in (*TOKENIZER_FILES, GENERATION):
        if folder != out and (folder / name).exists():
            shutil.copyfile(folder / name, out / name)
    template = _template(folder)
    if template is not None:
        (out / CHAT_TEMPLATE).write_text(template)


def convert_tokenizer(file: Path, out: Path) -> None:
    """Write the tokenizer that a GGUF file holds, its template with it.

    Raises:
        InputError: it has none that transformers can read.
    """
    try:
        found = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
        found.model_max_length = min(found.model_max_length, 2**31 - 1)
        found.save_pretrained(out)
    except Exception as error:
        raise InputError(f"{file} has no tokenizer that can be read: {line_of(error)}") from None


def _template(folder: Path) -> str | None:
    """Return the template: a file of its own, or inside the tokenizer's settings, where several may have names."""
    if (folder / CHAT_TEMPLATE).exists():
        return (folder / CHAT_TEMPLATE).read_text()
    for name in ("chat_template.json", TOKENIZER_FILES[1]):
        held = (
            json.loads((folder / name).read_text()).get("chat_template") if (folder / name).exists() else None
        )
        if isinstance(held, list):
            held = {entry["name"]: entry["template"] for entry in held}.get("default")
        if held:
            return str(held)
    return None


def write_generation(out: Path, defaults: Any) -> list[int]:
    """Write generation_config.json with every token that ends an answer; return these, ascending.

    They are those that the model's defaults (a GenerationConfig) name, the tokenizer's end of text, and the one
    that ends a turn in the template, which some models name nowhere else.
    """
    named = defaults.eos_token_id
    tokenizer = AutoTokenizer.from_pretrained(out, local_files_only=True, trust_remote_code=False)
    stops = set(named if isinstance(named, list) else [named])
    stops |= {tokenizer.eos_token_id, _end_of_turn(tokenizer)}
    found = sorted(token for token in stops if token is not None)
    fields = {**defaults.to_diff_dict(), **_stored(out / GENERATION)}
    fields.pop("_from_model_config", None)
    fields["eos_token_id"] = found[0] if len(found) == 1 else found
    (out / GENERATION).write_text(json.dumps(fields, indent=1))
    return found


def _stored(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text()) if file.exists() else {}


def _end_of_turn(tokenizer: Any) -> int | None:
    """Return the special token that follows an assistant's words in the template, if one does."""
    turns = [{"role": "user", "content": "Question"}, {"role": "assistant", "content": "Answer"}]
    if not tokenizer.chat_template:
        return None
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False)
    except (TemplateError, TypeError, ValueError):  # a template may demand other turns than these
        return None
    rest = tokenizer(text.rpartition("Answer")[2], add_special_tokens=False)["input_ids"]
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return rest[0] if rest and rest[0] in special else None
