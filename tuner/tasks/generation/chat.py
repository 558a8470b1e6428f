"""Chat: a user's words inside the model's own chat template, up to where the assistant begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tuner.errors import InputError
from tuner.runtime.template import ChatTemplate, TemplateRefusedError

#: Takes what a user says and returns the whole text that the model is to continue.
Opening = Callable[[str], str]


def load_chat(folder: Path) -> Opening | None:
    """Return what puts a user's words into the folder's chat template, as a bundle does; None where it has none.

    A system message is in it where the template writes one unasked.

    Raises:
        InputError: the template cannot be read; when called, that it cannot be rendered.
    """
    try:
        template = ChatTemplate.read(folder)
    except ValueError as error:
        raise InputError(f"model: {folder}: {error}") from None
    if template is None:
        return None

    def opening(said: str) -> str:
        try:
            return template.render([{"role": "user", "content": said}])
        except TemplateRefusedError as error:
            raise InputError(f"model: {folder}: {error}") from None

    return opening
