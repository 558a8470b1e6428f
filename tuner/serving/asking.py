"""Requests in OpenAI's dialect: what is wanted of a language model, and what nobody here would heed and is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from tuner.runtime.answering import Asked
from tuner.runtime.sampling import Sampling
from tuner.serving.bodies import OneOrMany
from tuner.serving.refusals import RefusedError

#: Fields that ask for something this server does not do, and the values with which they ask for nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "echo": (False,),
    "suffix": ("",),
}
#: Fields that change nothing about an answer.
_NOTES = (
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "parallel_tool_calls",
)
_ROLES = {"developer": "system"}


def _text_of(content: Any) -> Any:
    """Return the text of a message: given as it is, or in parts."""
    if not isinstance(content, list):
        return "" if content is None else content
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else type(part).__name__
        if kind != "text" or not isinstance(part.get("text"), str):
            raise PydanticCustomError(
                "part", "a part of type {kind} cannot be read: only text", {"kind": str(kind)}
            )
    return "\n".join(part["text"] for part in content)


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_text_of)] = ""
    tool_calls: list[Any] | None = None

    @field_validator("tool_calls")
    @classmethod
    def _none(cls, given: list[Any] | None) -> None:
        if given:
            raise ValueError("this server knows no tools")

    def plain(self) -> dict[str, str]:
        """Return it as the chat template takes it."""
        return {"role": _ROLES.get(self.role, self.role), "content": self.content}


class StreamOptions(BaseModel):
    """What a stream holds beside the text."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool = False
    include_obfuscation: bool = False


class _Wanted(BaseModel):
    """What chat and text completions have in common."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    repetition_penalty: float | None = Field(default=None, gt=0, le=10)
    seed: int | None = None
    stop: Annotated[list[str], OneOrMany, Field(max_length=4)] = []

    @property
    def most(self) -> int | None:
        """Return how many tokens the answer may have, None for as many as fit."""
        return self.max_tokens

    def asked(self, own: Sampling) -> Asked:
        """Return how the answer is wanted; what is not said is as the model's own settings say."""
        sampling = own.changed(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            repetition_penalty=self.repetition_penalty,
            seed=self.seed,
        )
        return Asked(self.most, sampling, tuple(self.stop))


class ChatWanted(_Wanted):
    """A request to /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: int | None = Field(default=None, ge=1)

    @property
    def most(self) -> int | None:
        """Return how many tokens the answer may have, by the newer name or the older one."""
        return self.max_completion_tokens or self.max_tokens


class TextWanted(_Wanted):
    """A request to /v1/completions."""

    prompt: str = Field(min_length=1)


def heeded(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body without what changes nothing.

    Raises:
        RefusedError: it asks for something that this server does not do.
    """
    for name, neutral in _NEUTRAL.items():
        value = body.get(name)
        if value is not None and not any(type(value) is type(good) and value == good for good in neutral):
            if isinstance(value, float) and value in neutral:
                continue
            raise RefusedError(
                400, f"{name}: not supported here; leave it out", param=name, code="unsupported_parameter"
            )
    return {name: value for name, value in body.items() if name not in (*_NEUTRAL, *_NOTES)}
