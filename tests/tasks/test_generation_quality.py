import numpy as np
import pytest

from tuner.errors import BuildError, InputError
from tuner.tasks.generation import Rows, Scores, asked_rows, evaluate
from tuner.tasks.generation.quality import agreement, choices, perplexity, perplexity_increase, text_loss
from tuner.tasks.generation.rows import OPTION, Row


def text_rows(documents: int = 30, tokens: int = 40) -> Rows:
    """Each document in two windows, of which the second counts from its middle."""
    pairs = [
        (Row(range(tokens), 1, group=g), Row(range(tokens), tokens // 2, group=g)) for g in range(documents)
    ]
    return Rows.of([row for pair in pairs for row in pair], [], pad=0)


def scores(rows: Rows, logprob: np.ndarray) -> Scores:
    return Scores(
        np.where(rows.attention_mask[:, 1:] == 1, logprob, 0).astype(np.float32), rows.input_ids[:, 1:]
    )


def drawn(rows: Rows, seed: int, shift: float = 0.0) -> np.ndarray:
    """Log-probabilities of mean -3 + shift, whose documents differ more than chance does."""
    random = np.random.default_rng(seed)
    own = random.normal(0, 0.4, rows.group.max() + 1)[rows.group]
    return -3 + shift + own[:, None] + random.normal(0, 1, (len(rows.first), rows.input_ids.shape[1] - 1))


def test_perplexity_is_exp_of_the_mean_loss_of_the_tokens_that_count():
    rows = text_rows(documents=3, tokens=10)
    logprob = np.full((6, 9), -100.0)
    logprob[0::2, 0:9] = -2.0
    logprob[1::2, 4:9] = -2.0
    found = perplexity(text_loss(scores(rows, logprob), rows))
    assert found.value == pytest.approx(np.exp(2))
    assert (found.low, found.high) == pytest.approx((np.exp(2), np.exp(2)))
    loss = text_loss(scores(rows, logprob), rows)
    assert loss.tokens.tolist() == [9 + 5] * 3


def test_a_document_weighs_as_many_tokens_as_it_has():
    rows = Rows.of([Row(range(11), 1, group=0), Row(range(3), 1, group=1)], [], pad=0)
    logprob = np.where(rows.group[:, None] == 0, -1.0, -5.0) * np.ones((2, 10))
    assert perplexity(text_loss(scores(rows, logprob), rows)).value == pytest.approx(
        np.exp((10 + 2 * 5) / 12)
    )


def test_intervals_of_perplexity_hold_the_truth_about_as_often_as_they_say():
    rows, truth = text_rows(), np.exp(3)
    found = [perplexity(text_loss(scores(rows, drawn(rows, seed)), rows)) for seed in range(200)]
    held = np.mean([e.low <= truth <= e.high for e in found])
    assert 0.88 <= held <= 0.99


def test_an_increase_is_paired_so_its_interval_is_narrow_and_holds_the_truth():
    rows, worse = text_rows(), 0.05
    held = []
    for seed in range(100):
        base, noise = drawn(rows, seed), np.random.default_rng(1000 + seed).normal(0, 0.05, (60, 39))
        own, before = (text_loss(scores(rows, lp), rows) for lp in (base - worse + noise, base))
        found = perplexity_increase(own, before)
        held.append(found.low <= np.expm1(worse) <= found.high)
        assert found.high - found.low < 0.01
        apart = perplexity(own)
        assert apart.high - apart.low > 1
    assert 0.88 <= np.mean(held) <= 1.0


def test_the_same_scores_are_no_increase_at_all():
    rows = text_rows()
    loss = text_loss(scores(rows, drawn(rows, 0)), rows)
    found = perplexity_increase(loss, loss)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def options(likely: list[list[list[float]]]) -> tuple[Rows, Scores]:
    """Rows and scores of questions whose options' tokens have these log-probabilities; questions have 4 tokens."""
    rows, logprob = [], []
    for question, row in enumerate(likely):
        for option, tokens in enumerate(row):
            rows.append(Row(range(4 + len(tokens)), 4, OPTION, question, option))
            logprob.append([-9.0, -9.0, -9.0, *tokens])
    width = max(map(len, logprob))
    made = Rows.of(rows, [0] * len(likely), pad=0)
    return made, scores(made, np.array([values + [0.0] * (width - len(values)) for values in logprob]))


def test_the_choice_is_the_option_likeliest_per_token_and_the_questions_tokens_do_not_count():
    rows, own = options([[[-1.0], [-2.0]], [[-3.0], [-2.0]], [[-1.5, -1.5], [-2.0]], [[-1.0, -4.0], [-2.0]]])
    assert choices(own, rows).tolist() == [0, 1, 0, 1]


def both(text: Rows, choice: Rows) -> Rows:
    """Rows of text and of questions as they lie in one file."""
    pairs = [(rows, i) for rows in (text, choice) for i in range(len(rows.first))]
    marks = ("first", "kind", "question", "option", "group")
    made = [
        Row(r.input_ids[i, : r.attention_mask[i].sum()].tolist(), *(int(getattr(r, m)[i]) for m in marks))
        for r, i in pairs
    ]
    return Rows.of(made, choice.answer.tolist(), pad=0)


def test_all_metrics_of_one_split(tmp_path):
    choice, picked = options([[[-1.0], [-2.0]], [[-3.0], [-2.0]]])
    text = text_rows()
    rows = both(text, choice)
    logprob = np.zeros((len(rows.first), 39))
    logprob[: len(text.first)] = drawn(text, 0)
    logprob[len(text.first) :, : picked.logprob.shape[1]] = picked.logprob
    better = logprob.copy()
    better[len(text.first) + 2, 3] = -0.1
    asked = asked_rows(np.array([[1, 2], [3, 4]]), [[5, 6, 7], [8]])
    rows.save(tmp_path / "rows.npz")
    rows = Rows.load(tmp_path / "rows.npz")
    found = evaluate(
        rows, scores(rows, logprob), scores(rows, better), asked, scores(asked, np.zeros((2, 4)))
    )
    assert found["perplexity"].low < found["perplexity"].value < found["perplexity"].high
    assert found["perplexity_increase"].value == 0
    assert found["choice_accuracy"].value == 0.5
    assert found["choice_accuracy_drop"].value == 0.5
    assert found["agreement"].value == 1
    plain = evaluate(text, *[scores(text, drawn(text, 0))] * 2, asked, scores(asked, np.zeros((2, 4))))
    assert plain["choice_accuracy"] is plain["choice_accuracy_drop"] is None


def test_asked_rows_are_prompt_and_answer_of_which_the_answer_counts():
    rows = asked_rows(np.array([[1, 2, 3], [4, 5, 6]]), [[7], [8, 9]])
    assert rows.input_ids.tolist() == [[1, 2, 3, 7, 0], [4, 5, 6, 8, 9]]
    assert rows.attention_mask.sum(axis=1).tolist() == [4, 5]
    assert rows.first.tolist() == [3, 3]
    assert rows.counted().tolist() == [[False, False, True, False], [False, False, True, True]]


def test_agreement_is_the_share_of_the_answers_tokens_and_resamples_answers():
    rows = asked_rows(np.ones((3, 2), dtype=int), [[5, 6, 7], [8], []])
    greedy = rows.input_ids[:, 1:].copy()
    greedy[:, 0] = -1  # what is thought of the prompt does not count
    assert agreement(greedy, rows).value == 1
    greedy[0, 1] = -1
    found = agreement(greedy, rows)
    assert found.value == 3 / 4
    assert (found.low, found.high) == pytest.approx((2 / 3, 1))


def test_a_baseline_that_says_nothing_and_scores_that_are_no_numbers_are_refused():
    rows = asked_rows(np.ones((2, 3), dtype=int), [[], []])
    with pytest.raises(InputError, match="answers none of the study's prompts"):
        agreement(rows.input_ids[:, 1:], rows)
    text = text_rows(2)
    logprob = drawn(text, 0)
    logprob[1, -1] = np.nan
    with pytest.raises(BuildError, match="1 of 4 rows have scores that are not finite"):
        text_loss(scores(text, logprob), text)
    logprob[1, -1], logprob[1, 3] = -1, np.nan  # before the window's `first`
    assert np.isfinite(text_loss(scores(text, logprob), text).nll).all()
