"""Trying: ask a trial's artefact a question, and have its answer piece by piece, from a process of its own.

For a person who looks, not for a measurement: nothing is pinned, and what the machine measures comes first.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tuner.errors import InputError, NotFoundError, TunerError
from tuner.export.kinds import CHAT, kind_of_task
from tuner.service.exporting import Sources, content_of, measured_sources
from tuner.service.roles import Role, require_operator
from tuner.service.trying_process import Child
from tuner.store import Store, tuner_home
from tuner.store.records import Study, Trial

MOST_TOKENS = 512  # of an answer
MOST_CHARACTERS = 20_000  # of a question; how many tokens it may be, the model's context says


class MeasuringError(TunerError):
    """The machine is measuring, which a question would disturb."""


@dataclass
class Reply:
    """One answer. Iterating yields its text in pieces (a classifier's has none); then the other fields are filled.

    `finish`: stop (the model ended it), length (so many tokens were wanted), cancelled (its time was over). `first_s`:
    seconds to the first token, of a classifier to its answer; `rate`: tokens a second after the first. Both are of
    this moment on this machine, and no measurement. `shares`: label and probability, the likeliest first.
    """

    pieces: Iterator[str]
    finish: str | None = None
    prompt_tokens: int = 0
    tokens: int = 0
    first_s: float | None = None
    rate: float | None = None
    shares: list[tuple[str, float]] = field(default_factory=list)

    def __iter__(self) -> Iterator[str]:
        return self.pieces

    def close(self) -> None:
        """Give the answer up, and the child with it."""
        self.pieces.close()  # type: ignore[attr-defined]


class Tryout:
    """One trial that can be asked. The child starts with the first question; `end` ends it.

    It also ends when an answer is given up, on a failure, after two minutes without a question, and with us.
    """

    def __init__(self, setup: Mapping[str, Any], name: str) -> None:
        self._setup, self._name = setup, name
        self._child: Child | None = None
        self._lock = threading.Lock()

    @classmethod
    def of(cls, store: Store, study_name: str, number: int) -> Tryout:
        """Return the tryout of a trial whose artefact lies in this machine's cache; nothing is started.

        Raises:
            NotFoundError: there is no such trial, or its artefact is not here.
        """
        study = store.get_study(study_name)
        trial = store.trial(study, number)
        found = measured_sources(tuner_home() / "cache", trial.artefact_key)
        if found is None:
            raise NotFoundError(_missing(trial))
        return cls(_setup(found, study, trial), f"trial {number}")

    @property
    def chats(self) -> bool:
        """Say whether it answers with text: a language model."""
        return bool(self._setup["kind"] == CHAT.name)

    @property
    def alive(self) -> bool:
        """Say whether a child holds the model in memory."""
        child = self._child
        return child is not None and child.alive

    def ask(self, question: str, role: Role, most: int = 128) -> Reply:
        """Return the answer, of `most` tokens at most; it is computed while it is iterated.

        Raises:
            NotAllowedError: the role is not operator: asking makes the machine compute, and measurements wait.
            InputError: the question or `most` is out of bounds; while iterating: it does not fit into the context.
            MeasuringError: (while iterating) the machine is measuring.
            TunerError: (while iterating) the artefact fails, or does not answer in time.
        """
        require_operator(role, "ask trials")
        if not question.strip():
            raise InputError("there is no question: write one")
        if len(question) > MOST_CHARACTERS:
            raise InputError(
                f"the question has {len(question)} characters: ask with at most {MOST_CHARACTERS}"
            )
        if not 1 <= most <= MOST_TOKENS:
            raise InputError(f"an answer of {most} tokens: between 1 and {MOST_TOKENS} can be asked for")
        reply = Reply(iter(()))
        reply.pieces = self._pieces(reply, {"question": question, "most": most})
        return reply

    def end(self) -> None:
        """End the child, from any thread; the next question starts another."""
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.kill()

    def _pieces(self, reply: Reply, asked: Mapping[str, Any]) -> Iterator[str]:
        whole = False
        try:
            for said in self._started().answers(asked):
                if "piece" in said:
                    yield said["piece"]
                elif "done" in said:
                    whole = True
                    _fill(reply, said["done"])
                else:
                    whole = "failed" not in said
                    raise self._error(said)
        finally:
            if not whole:  # given up midway, or failed
                self.end()

    def _started(self) -> Child:
        with self._lock:
            if self._child is None or not self._child.alive:
                if self._child is not None:
                    self._child.kill()
                self._child = Child(self._setup, self._name)
            return self._child

    def _error(self, said: Mapping[str, Any]) -> TunerError:
        if "busy" in said:
            return MeasuringError(
                "this machine is measuring, and a question would disturb it; ask again in a moment"
            )
        if "refused" in said:
            return InputError(str(said["refused"]))
        return TunerError(f"{self._name}: the artefact failed: {said['failed']}")


def _missing(trial: Trial) -> str:
    """Return why a trial cannot be asked here, and what to do instead."""
    if trial.artefact_key is None:
        return f"trial {trial.number} has no artefact to ask: it is {trial.state}"
    where = f", which was {trial.host.name}" if trial.host else ""
    return (
        f"the artefact of trial {trial.number} is not in this machine's cache: ask it on the machine that measured it"
        f"{where}, or export it, which builds it again, and ask the bundle"
    )


def _setup(found: Sources, study: Study, trial: Trial) -> dict[str, Any]:
    """Return what the child is told (see `trying_child`)."""
    kind, candidate = kind_of_task(str(study.spec.get("task", "text-classification"))), trial.candidate
    setup = {
        "kind": kind.name,
        "artefact": str(found.artefact),
        "checkpoint": str(found.checkpoint),
        "threads": candidate.parallel.threads,
        "draft": candidate.backend.draft,
    }
    if kind is CHAT:
        meta = json.loads((found.data / "meta.json").read_text())
        return setup | {"stop_token_ids": meta["stop_token_ids"], "generation": meta["generation"]}
    content = content_of(found, candidate, study.spec, {})
    return setup | {"facts": dict(content.facts), "labels": content.more["labels.json"]}


def _fill(reply: Reply, done: Mapping[str, Any]) -> None:
    shares = [(str(label), float(share)) for label, share in done.get("shares", [])]
    for name, value in {**done, "shares": shares}.items():
        setattr(reply, name, value)
