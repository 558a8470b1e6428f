"""What answers in a try-it box's child: an artefact, loaded where it lies, by the code that bundles carry."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tuner.runtime.generating import Choose, GeneratingSession

ANSWER_S = 60.0  # after which an answer ends where it is: a measurement may be waiting for it


class Answerer(Protocol):
    """What is loaded. `answer` yields the text's pieces and puts the rest into `done`."""

    done: dict[str, Any]

    def answer(self, question: str, most: int) -> Iterator[str]:
        """Answer one question."""
        ...


class Clocked:
    """A session, and when each token of the last answer came: `moments`, in seconds after it was asked."""

    def __init__(self, session: GeneratingSession) -> None:
        self._session, self.moments = session, list[float]()
        self.context, self.vocabulary = session.context, session.vocabulary

    def stream(
        self, prompt: Sequence[int], most: int, stop: Collection[int] = (), choose: Choose | None = None
    ) -> Iterator[int]:
        """Yield the session's tokens, and note when each came."""
        begin, self.moments = time.perf_counter(), []
        for token in self._session.stream(prompt, most, stop, choose):
            self.moments.append(time.perf_counter() - begin)
            yield token

    def score(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the session expects."""
        return self._session.score(tokens)


class Chatting:
    """A language model: one question, answered as the model's own settings have it."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        from tokenizers import Tokenizer

        from tuner.runtime.answering import Chat
        from tuner.runtime.loader import load_session
        from tuner.runtime.sampling import Sampling
        from tuner.runtime.template import ChatTemplate

        texts = Path(setup["checkpoint"])
        session = load_session(Path(setup["artefact"]), setup["threads"])
        if setup["draft"] is not None:
            session.draft = setup["draft"]
        self._session = Clocked(session)
        self._chat = Chat(
            bundle=texts,
            tokenizer=Tokenizer.from_file(str(texts / "tokenizer.json")),
            template=ChatTemplate.read(texts),
            context=session.context,
            stop_tokens=frozenset(setup["stop_token_ids"]),
            sampling=Sampling.of(setup["generation"]),
            threads=setup["threads"],
        )
        self.done: dict[str, Any] = {}

    def answer(self, question: str, most: int) -> Iterator[str]:
        """Yield the answer's text; `done` has `finish`, the tokens, `first_s`, and `rate` in tokens a second."""
        from tuner.runtime.answering import Asked

        chat, end = self._chat, time.monotonic() + ANSWER_S
        messages = [{"role": "user", "content": question}]
        prompt = chat.prompt(messages) if chat.template else chat.encode(question)
        asked = Asked(min(most, chat.room(prompt, None)))
        answer = chat.answer(self._session, prompt, asked, gone=lambda: time.monotonic() > end)
        yield from answer
        moments = self._session.moments
        after = moments[-1] - moments[0] if len(moments) > 1 else 0.0
        self.done = {
            "finish": answer.finish,
            "prompt_tokens": answer.prompt_tokens,
            "tokens": answer.completion_tokens,
            "first_s": moments[0] if moments else None,
            "rate": (len(moments) - 1) / after if after else None,
        }


class Classifying:
    """A classifier: the share of each label for one text."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        from tuner.runtime.predict import Classifier

        with tempfile.TemporaryDirectory(prefix="tuner-try-") as folder:
            self._classifier = Classifier(_linked(setup, Path(folder)), setup["threads"])
        self.done: dict[str, Any] = {}

    def answer(self, question: str, most: int) -> Iterator[str]:
        """Yield nothing; `done` has `shares` (pairs of label and probability, the likeliest first) and `first_s`."""
        begin = time.perf_counter()
        logits = self._classifier.logits([question])[0]
        took = time.perf_counter() - begin
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        order = np.argsort(-shares, kind="stable")
        pairs = [[self._classifier.labels[i], float(shares[i])] for i in order]
        self.done = {"shares": pairs, "first_s": took}
        yield from ()


def _linked(setup: Mapping[str, Any], folder: Path) -> Path:
    """Return a bundle of links: as the program wants it, with nothing copied."""
    (folder / "artefact").symlink_to(setup["artefact"], target_is_directory=True)
    (folder / "tokenizer.json").symlink_to(Path(setup["checkpoint"]) / "tokenizer.json")
    facts = {**setup["facts"], "threads": setup["threads"]}
    (folder / "bundle.json").write_text(json.dumps(facts))
    (folder / "labels.json").write_text(json.dumps(setup["labels"]), encoding="utf-8")
    return folder


#: By the kind of bundle.
ANSWERERS: dict[str, Callable[[Mapping[str, Any]], Answerer]] = {"chat": Chatting, "classifier": Classifying}
