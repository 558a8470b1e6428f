"""The conformance suite of language models: what every engine must pass for each offer of text generation.

>>> findings = check(plugin, offer, None, checkpoint, texts, workdir, max_length=64)  # doctest: +SKIP
>>> assert not findings  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tuner.backends.base import BackendPlugin, BuildRequest, Offer
from tuner.backends.conformance import description
from tuner.backends.generating_agreement import check_generating_agreement, texts
from tuner.candidate import Quantization
from tuner.errors import BuildError
from tuner.runtime.generating import GeneratingSession, can_batch
from tuner.runtime.loader import load_session

_MOST = 12  # tokens of each answer
_ROWS = 8  # windows that are compared
#: Least share of an answer's tokens that scoring it finds likeliest, too: kernels for one token and for many round
#: differently, and where two tokens are as likely either may come.
_SAME = 0.9


def check(
    plugin: BackendPlugin,
    offer: Offer,
    method: str | None,
    checkpoint: Path,
    rows: Path,
    workdir: Path,
    max_length: int,
) -> list[str]:
    """Build one offer with one of its methods and return what is wrong with it; an empty list is a pass.

    Args:
        plugin: the engine.
        offer: one of its available offers of text generation.
        method: one of the offer's methods, None where it has none.
        checkpoint: a causal checkpoint directory.
        rows: an .npz of text (rows, longest): input_ids, attention_mask; also used to calibrate.
        workdir: a directory for artefacts and their cache, of one checkpoint; other offers' may be there.
        max_length: tokens of a window of text.
    """
    out, cache = workdir / f"{plugin.name}-{offer.bits}-{method}", workdir / "cache"
    out.mkdir(parents=True)
    cache.mkdir(exist_ok=True)
    group = offer.group_sizes[0] if offer.group_sizes else None
    wanted = Quantization(bits=offer.bits, scheme=offer.scheme, group_size=group, method=method)  # type: ignore[arg-type]
    request = BuildRequest(checkpoint, wanted, offer.device, None, max_length, rows, cache, task=offer.task)
    plugin.build(request, out)
    session = load_session(out, threads=1)
    prompts = [row[: len(row) // 2].tolist() for row in texts(rows)][:_ROWS]
    return [
        *description(out),
        *_agrees(session, checkpoint, rows, offer.tolerance),
        *_scores_what_it_says(session, prompts),
        *_stops(session, prompts[0]),
        *_lets_choose(session, prompts[0]),
        *_batches(session, prompts),
        *_refuses(session),
    ]


def _agrees(session: GeneratingSession, checkpoint: Path, rows: Path, tolerance: float) -> Iterator[str]:
    try:
        check_generating_agreement(session, checkpoint, rows, _ROWS, tolerance)
    except BuildError as error:
        yield str(error)


def _scores_what_it_says(session: GeneratingSession, prompts: list[list[int]]) -> Iterator[str]:
    """Check that scoring an answer finds its tokens likeliest, and that the same question gets the same answer."""
    answers = []
    for prompt in prompts:
        answer = list(session.stream(prompt, _MOST))
        answers.append(answer)
        if answer != list(session.stream(prompt, _MOST)):
            yield f"two answers to one prompt of {len(prompt)} tokens differ"
        taken, likeliest = session.score(np.array(prompt + answer))
        if taken.dtype != np.float32 or likeliest.dtype != np.int64 or (taken > 0).any():
            yield f"score gives {taken.dtype} and {likeliest.dtype}, or probabilities above one"
    yield from _are_its_own(session, prompts, answers, "answers")


def _are_its_own(
    session: GeneratingSession, prompts: list[list[int]], answers: list[list[int]], what: str
) -> Iterator[str]:
    """Check that scoring finds the tokens of greedy answers likeliest."""
    same = [
        (session.score(np.array(prompt + answer))[1][len(prompt) - 1 :] == np.array(answer)).mean()
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    if np.mean(same) < _SAME:
        yield f"scoring finds {np.mean(same):.0%} of the {what}' own tokens likeliest, at least {_SAME:.0%} are due"


def _stops(session: GeneratingSession, prompt: list[int]) -> Iterator[str]:
    """Check stop tokens, and that a session whose answer nobody heard to its end takes the next question."""
    answer = list(session.stream(prompt, _MOST))
    stop = answer[len(answer) // 2]
    if list(session.stream(prompt, _MOST, stop=(stop,))) != answer[: answer.index(stop)]:
        yield "a stop token does not end the answer before it"
    if len(answer) != _MOST:
        yield f"{len(answer)} tokens where {_MOST} were asked for"
    left = session.stream(prompt, _MOST)
    next(left)
    if list(session.stream(prompt, _MOST)) != answer:
        yield "an answer that was left early changes the next one"


def _lets_choose(session: GeneratingSession, prompt: list[int]) -> Iterator[str]:
    """Check that the choice is the caller's: the second likeliest token first, then what follows from it."""
    shapes: set[tuple[int, ...]] = set()

    def second(logits: np.ndarray) -> int:
        shapes.add(logits.shape)
        return int(np.argsort(logits)[-2])

    chosen = list(session.stream(prompt, 1, choose=second))
    if shapes != {(session.vocabulary,)} or chosen == list(session.stream(prompt, 1)):
        yield f"`choose` is not asked, or sees logits of shape {sorted(shapes)}"


def _batches(session: GeneratingSession, prompts: list[list[int]]) -> Iterator[str]:
    """Check answers that are made together, where a session can: one joins later, one leaves early, one stops."""
    if not can_batch(session):
        return
    batch, found = session.batch(len(prompts)), dict[int, list[int]]()
    left = batch.add(prompts[0], _MOST)
    heard = [batch.step(), batch.step()]  # one by itself, at first
    numbers = [batch.add(prompt, _MOST) for prompt in prompts[1:]]
    batch.drop(left)
    while any(len(found.get(number, ())) < _MOST for number in numbers) and len(heard) < 20 * _MOST:
        heard.append(batch.step())
        for said in heard[-1]:
            found.setdefault(said.number, []).append(-1 if said.token is None else said.token)
    answers = [found.get(number, []) for number in numbers]
    if left in found or [len(answer) for answer in answers] != [_MOST] * len(numbers):
        yield f"answers made together: {[len(a) for a in answers]} tokens, or one that was dropped goes on"
        return
    yield from _are_its_own(session, prompts[1:], answers, "answers made together")
    stop = answers[0][_MOST // 2]
    again = batch.add(prompts[1], _MOST, (stop,))
    last = [one for _ in range(2 * _MOST) for one in batch.step() if one.number == again]
    if [one.token for one in last] != [*answers[0][: answers[0].index(stop)], None] or not last[-1].finished:
        yield "a stop token does not end an answer of a batch before it"


def _refuses(session: GeneratingSession) -> Iterator[str]:
    long = np.ones(session.context + 1, dtype=np.int64)
    refused = {
        "a prompt that is too long": lambda: session.stream(long[: session.context].tolist(), 1),
        "an empty prompt": lambda: session.stream([], 1),
        "a token outside the vocabulary": lambda: session.stream([session.vocabulary], 1),
        "scoring more than the context": lambda: session.score(long),
    }
    for what, call in refused.items():
        try:
            call()
        except ValueError:
            continue
        yield f"{what} is not refused with ValueError"
