"""Quality of a language model from its scores: surprise at text, choices, and agreement with the untouched model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuner.errors import BuildError, InputError
from tuner.metrics import Estimate, Metrics
from tuner.tasks.generation.rows import OPTION, TEXT, Rows
from tuner.tasks.quality import paired_drop, wilson

_RESAMPLES = 2000


@dataclass(frozen=True)
class Scores:
    """What a model expected on rows: float32 `logprob` and int64 `greedy`, both (rows, longest - 1).

    Entry j of a row is about its token j + 1: the logarithm of that token's probability, and the likeliest token.
    """

    logprob: np.ndarray
    greedy: np.ndarray

    @classmethod
    def load(cls, file: Path) -> Scores:
        """Read an .npz of both."""
        with np.load(file) as arrays:
            return cls(arrays["logprob"], arrays["greedy"])


@dataclass(frozen=True)
class Loss:
    """Negative log-likelihood (natural logarithm) of each document's tokens, summed, and how many they are."""

    nll: np.ndarray
    tokens: np.ndarray


@dataclass(frozen=True)
class Hits:
    """Of each answer's tokens, those that are the likeliest to a model as well, and how many they are."""

    hits: np.ndarray
    tokens: np.ndarray


def evaluate(rows: Rows, own: Scores, base: Scores, asked: Rows, answered: Scores) -> Metrics:
    """Return every quality metric of an artefact with its 95 % interval; None where the data has no questions.

    `own` and `base` are the artefact's and the baseline's scores of a split's rows, `answered` the artefact's of the
    `asked` rows: the baseline's own answers.

    Raises:
        BuildError: a score is not a finite number: the artefact is broken.
        InputError: the baseline answered nothing at all.
    """
    loss, before = text_loss(own, rows), text_loss(base, rows)
    found: Metrics = {
        "perplexity": perplexity(loss),
        "perplexity_increase": perplexity_increase(loss, before),
        "agreement": agreement(answered.greedy, asked),
        "choice_accuracy": None,
        "choice_accuracy_drop": None,
    }
    if len(rows.answer):
        correct = choices(own, rows) == rows.answer
        found["choice_accuracy"] = wilson(int(correct.sum()), len(correct))
        found["choice_accuracy_drop"] = paired_drop(choices(base, rows) == rows.answer, correct)
    return found


def text_loss(scores: Scores, rows: Rows) -> Loss:
    """Return each document's loss, by its windows of text.

    Raises:
        BuildError: a score that counts is not a finite number.
    """
    sums, counts, text = *_sums(scores, rows), rows.kind == TEXT
    groups = rows.group[text]
    return Loss(np.bincount(groups, -sums[text]), np.bincount(groups, counts[text]))


def perplexity(loss: Loss) -> Estimate:
    """Return exp of the mean loss per token; the interval resamples documents, for a text's tokens hang together."""
    drawn = _resampled(len(loss.nll))
    return _interval(
        np.exp(loss.nll.sum() / loss.tokens.sum()), np.exp((drawn @ loss.nll) / (drawn @ loss.tokens))
    )


def perplexity_increase(own: Loss, base: Loss) -> Estimate:
    """Return by what fraction the perplexity is above the baseline's; the same documents are resampled for both."""
    drawn, more = _resampled(len(own.nll)), own.nll - base.nll
    return _interval(np.expm1(more.sum() / own.tokens.sum()), np.expm1((drawn @ more) / (drawn @ own.tokens)))


def choices(scores: Scores, rows: Rows) -> np.ndarray:
    """Return the option chosen for each question, int64 (questions,): that of the highest log-likelihood per token.

    Per token, so that a name of many tokens has a chance (Brown et al. 2020, "Language Models are Few-Shot Learners",
    section 2.4); where every name is one token this is lm-evaluation-harness' `acc`, whose `acc_norm` divides by bytes.

    Raises:
        BuildError: a score that counts is not a finite number.
    """
    sums, counts, option = *_sums(scores, rows), rows.kind == OPTION
    likely = np.full((len(rows.answer), int(rows.option.max()) + 1), -np.inf)
    likely[rows.question[option], rows.option[option]] = sums[option] / counts[option]
    return likely.argmax(axis=1)


def agreement(greedy: np.ndarray, asked: Rows) -> Estimate:
    """Return the share of the baseline's answers' tokens that are likeliest to this model too, given those before.

    The interval resamples the answers, for within one the tokens hang together.

    Raises:
        InputError: all answers are empty.
    """
    found = answer_hits(greedy, asked)
    hits, tokens = found.hits[found.tokens > 0], found.tokens[found.tokens > 0]
    if not len(tokens):
        raise InputError(
            "model: the untouched model answers none of the study's prompts with a single token; "
            "raise `scenario.prompt_tokens` or choose a model that answers"
        )
    drawn = _resampled(len(tokens))
    return _interval(hits.sum() / tokens.sum(), (drawn @ hits) / (drawn @ tokens))


def answer_hits(greedy: np.ndarray, asked: Rows) -> Hits:
    """Return in how many tokens of each of the baseline's answers a model's likeliest tokens are the same."""
    counted = asked.counted()
    same = (greedy == asked.input_ids[:, 1:]) & counted
    return Hits(same.sum(axis=1), counted.sum(axis=1))


def _sums(scores: Scores, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Return the summed log-probability of what counts in each row, float64 (rows,), and how many tokens it is."""
    counted = rows.counted()
    kept = np.where(counted, scores.logprob, 0.0).astype(np.float64)
    if not np.isfinite(kept).all():
        broken = int((~np.isfinite(kept)).any(axis=1).sum())
        raise BuildError(f"{broken} of {len(kept)} rows have scores that are not finite")
    return kept.sum(axis=1), counted.sum(axis=1)


def _resampled(items: int) -> np.ndarray:
    """Return how often each item is in each resample, int64 (resamples, items): the same for every artefact."""
    return np.random.default_rng(0).multinomial(items, np.full(items, 1 / items), size=_RESAMPLES)


def _interval(value: float, draws: np.ndarray) -> Estimate:
    """Return a value with the percentile interval of its resamples (Efron & Tibshirani 1993, section 13.3)."""
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(
        value=float(value), low=min(float(low), float(value)), high=max(float(high), float(value))
    )
