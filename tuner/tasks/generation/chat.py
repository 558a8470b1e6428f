"""Chat: a user's words inside the model's own chat template, up to where the assistant begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tuner.errors import InputError

#: Takes what a user says and returns the whole text that the model is to continue.
Opening = Callable[[str], str]


def load_chat(folder: Path) -> Opening | None:
    """Return what puts a user's words into the folder's chat template, or None where it has none.

    The template (`chat_template.jinja`, or a field of `tokenizer_config.json`) is rendered as transformers does, in
    its sandbox: a system message is in it where the template writes one unasked.

    Raises:
        InputError: the template cannot be read; when called, that it cannot be rendered.
    """
    from jinja2 import TemplateError
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the library raises whatever its parts do
        raise InputError(f"model: the tokenizer in {folder} cannot be read: {_first_line(error)}") from None
    if not tokenizer.chat_template:
        return None

    def opening(said: str) -> str:
        message = [{"role": "user", "content": said}]
        try:
            return str(tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))
        except (TemplateError, ValueError) as error:
            raise InputError(
                f"model: the chat template in {folder} cannot be rendered: {_first_line(error)}"
            ) from None

    return opening


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:160] if str(error) else type(error).__name__
