"""Answers in OpenAI's dialect: objects, and the chunks of a stream."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from tuner.runtime.answering import Answer


@dataclass(frozen=True)
class Form:
    """How one answer is put: as a chat's message, or as a text."""

    model: str
    chat: bool
    usage: bool = False  # a stream ends with the counts of tokens
    created: int = field(default_factory=lambda: int(time.time()))
    number: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def id(self) -> str:
        """Return the answer's id."""
        return f"{'chatcmpl' if self.chat else 'cmpl'}-{self.number}"

    def whole(self, text: str, answer: Answer) -> dict[str, Any]:
        """Return the object of a finished answer."""
        said: dict[str, Any] = {"text": text}
        if self.chat:
            said = {"message": {"role": "assistant", "content": text, "refusal": None}}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": answer.finish}
        return {**self._head(""), "choices": [choice], "usage": answer.usage()}

    def first(self) -> list[str]:
        """Return the events with which a stream begins."""
        return [self._event({"delta": {"role": "assistant", "content": ""}})] if self.chat else []

    def piece(self, text: str) -> str:
        """Return the event of a piece of text."""
        return self._event({"delta": {"content": text}} if self.chat else {"text": text})

    def last(self, answer: Answer) -> list[str]:
        """Return the events with which a stream ends."""
        end = self._event({"delta": {}} if self.chat else {"text": ""}, answer.finish)
        counts = {**self._head(".chunk"), "choices": [], "usage": answer.usage()}
        return [end, *([event(counts)] if self.usage else []), "data: [DONE]\n\n"]

    def _event(self, said: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish}
        return event({**self._head(".chunk"), "choices": [choice], **({"usage": None} if self.usage else {})})

    def _head(self, chunk: str) -> dict[str, Any]:
        kind = f"chat.completion{chunk}" if self.chat else "text_completion"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def event(data: dict[str, Any]) -> str:
    """Return one server-sent event."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
