"""A chat bundle, loaded: messages go in, the answer's text comes out piece by piece."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from tokenizers import Tokenizer

from .detokenizing import Detokenizer
from .generating import AnsweringSession, GeneratingSession
from .loader import load_session
from .sampling import Sampling
from .split import Split
from .stopping import StopStrings
from .template import ChatTemplate

Finish = Literal["stop", "length", "cancelled"]
Message = Mapping[str, Any]


class UnanswerableError(ValueError):
    """What was asked cannot be answered: one line that says why. `too_long`: it does not fit into the context."""

    def __init__(self, reason: str, too_long: bool = False) -> None:
        super().__init__(reason)
        self.too_long = too_long


@dataclass(frozen=True)
class Asked:
    """How an answer is wanted. `most` new tokens, None for as many as fit; `sampling` None for the model's own."""

    most: int | None = None
    sampling: Sampling | None = None
    stop: tuple[str, ...] = ()


@dataclass
class Answer:
    """One answer. Iterating yields its text in pieces, none empty; then the other fields are filled.

    `finish`: stop (the model, or a stop string, ended it), length (so many tokens were wanted), or cancelled.
    """

    pieces: Iterator[str]
    prompt_tokens: int
    completion_tokens: int = 0
    finish: Finish | None = None

    def __iter__(self) -> Iterator[str]:
        return self.pieces

    def usage(self) -> dict[str, int]:
        """Return the counts of tokens, under OpenAI's names."""
        counts = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        return {**counts, "total_tokens": sum(counts.values())}


@dataclass(frozen=True)
class Chat:
    """All of a bundle but its session, of which there may be several: tokenizer, template, stop tokens, settings."""

    bundle: Path
    tokenizer: Tokenizer
    template: ChatTemplate | None
    context: int
    stop_tokens: frozenset[int]
    sampling: Sampling
    threads: int
    described: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, bundle: Path) -> Chat:
        """Return the chat of a bundle's directory; the model itself is not loaded yet."""
        described = json.loads((bundle / "bundle.json").read_text())
        return cls(
            bundle=bundle,
            tokenizer=Tokenizer.from_file(str(bundle / "tokenizer.json")),
            template=ChatTemplate.read(bundle),
            context=int(described["context"]),
            stop_tokens=frozenset(described["stop_token_ids"]),
            sampling=Sampling.of(described["generation"]),
            threads=int(described["threads"]),
            described=described,
        )

    def load(self, threads: int | None = None) -> GeneratingSession:
        """Load a session: one conversation at a time. `threads` defaults to what was measured."""
        session = load_session(self.bundle / "artefact", threads or self.threads, Split.of(self.described))
        if (draft := self.described.get("draft")) is not None:
            session.draft = draft
        return cast(GeneratingSession, session)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens of a conversation, up to where the answer begins.

        Raises:
            UnanswerableError: no messages, or a model without a chat template.
            TemplateRefusedError: the template refuses them.
        """
        if not messages:
            raise UnanswerableError("there is no message to answer")
        if self.template is None:
            raise UnanswerableError(
                "this model has no chat template: it continues texts, and answers no messages"
            )
        return self.encode(self.template.render(messages))

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, with nothing put around it."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def room(self, prompt: Sequence[int], most: int | None) -> int:
        """Return how many tokens the answer may have.

        Raises:
            UnanswerableError: prompt and answer do not fit into the context.
        """
        left = self.context - len(prompt)
        if not prompt:
            raise UnanswerableError("the prompt is empty")
        if left < 1 or (most or 0) > left:
            new = "an answer" if most is None else f"an answer of {most}"
            raise UnanswerableError(
                f"the messages take {len(prompt)} tokens, and with {new} they do not fit into the model's "
                f"{self.context}: shorten the messages or ask for fewer tokens",
                too_long=True,
            )
        return left if most is None else most

    def answer(
        self,
        session: AnsweringSession,
        prompt: Sequence[int],
        asked: Asked = Asked(),
        gone: Callable[[], bool] = lambda: False,
    ) -> Answer:
        """Return the answer to a prompt; the session is at work while it is iterated. `gone` is asked at each token.

        Raises:
            UnanswerableError: it does not fit into the context.
        """
        most = self.room(prompt, asked.most)
        answer = Answer(iter(()), len(prompt))
        choose = (asked.sampling or self.sampling).chooser(prompt)
        tokens = session.stream(prompt, most, self.stop_tokens, choose)
        answer.pieces = self._pieces(answer, tokens, most, StopStrings(asked.stop), gone)
        return answer

    def _pieces(
        self, answer: Answer, tokens: Iterator[int], most: int, stops: StopStrings, gone: Callable[[], bool]
    ) -> Iterator[str]:
        texts = Detokenizer(self.tokenizer)
        with closing(_Closing(tokens)):
            for token in tokens:
                if gone():
                    answer.finish = "cancelled"
                    return
                answer.completion_tokens += 1
                if piece := stops.add(texts.add(token)):
                    yield piece
                if stops.found:
                    answer.finish = "stop"
                    return
        last = stops.add(texts.end())
        if last := last + stops.end():
            yield last
        answer.finish = "length" if answer.completion_tokens == most and not stops.found else "stop"


@dataclass(frozen=True)
class _Closing:
    """Ends a stream of tokens early, which frees its session; an iterator without `close` has nothing to free."""

    tokens: Iterator[int]

    def close(self) -> None:
        close = getattr(self.tokens, "close", None)
        if close is not None:
            close()
