import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import f1_score

from tuner.errors import BuildError
from tuner.tasks.quality import confusion_matrix, drops, evaluate, f1_macro, paired_drop, predictions, wilson

cases = st.integers(2, 5).flatmap(
    lambda c: st.tuples(
        st.just(c), st.lists(st.tuples(*[st.integers(0, c - 1)] * 3), min_size=1, max_size=60)
    )
)


def one_hot(predicted, classes):
    return np.eye(classes, dtype=np.float32)[predicted]


@settings(max_examples=50, deadline=None)
@given(cases)
def test_metrics_agree_with_scikit_learn(case):
    classes, triples = case
    labels, before, after = np.array(triples).T
    matrix = confusion_matrix(after, labels, classes)
    assert (matrix == sklearn_confusion(labels, after, labels=range(classes))).all()
    found = evaluate(one_hot(after, classes), labels)
    expected = f1_score(labels, after, average="macro", zero_division=0)
    assert found["f1_macro"].value == pytest.approx(expected)
    assert found["accuracy"].value == pytest.approx((after == labels).mean())
    lost = drops(one_hot(before, classes), one_hot(after, classes), labels)
    base = evaluate(one_hot(before, classes), labels)
    for name in ("accuracy", "f1_macro"):
        assert lost[f"{name}_drop"].value == pytest.approx(base[name].value - found[name].value, abs=1e-12)
        for estimate in (found[name], lost[f"{name}_drop"]):
            assert estimate.low <= estimate.value <= estimate.high


def test_wilson_is_the_published_interval():
    found = wilson(81, 263)  # Newcombe 1998, table I, method 3
    assert (found.low, found.high) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    assert wilson(0, 20).low == 0
    assert wilson(0, 20).high == pytest.approx(0.1611, abs=5e-5)
    assert wilson(20, 20).high == 1


def test_the_paired_interval_covers_the_truth_about_as_often_as_it_says():
    random, truth, covered, rounds = np.random.default_rng(1), 0.02, 0, 400
    for _ in range(rounds):
        draw = random.choice(4, size=425, p=[0.90, 0.04, 0.02, 0.04])  # both right, lost, won, both wrong
        found = paired_drop((draw == 0) | (draw == 1), (draw == 0) | (draw == 2))
        covered += found.low <= truth <= found.high
    assert 0.92 <= covered / rounds <= 0.99


def test_pairing_makes_the_interval_narrower_than_two_separate_ones():
    base = np.arange(425) % 20 != 0
    candidate = base.copy()
    candidate[1:4] = False
    found = paired_drop(base, candidate)
    assert found.value == pytest.approx(3 / 425)
    single = wilson(int(base.sum()), 425)
    assert found.high - found.low < single.high - single.low


def test_a_candidate_that_answers_alike_has_no_drop_but_still_an_interval():
    same = np.arange(400) % 10 != 0
    found = paired_drop(same, same)
    assert found.value == 0
    assert -0.01 < found.low < 0 < found.high < 0.01


def test_f1_of_a_class_that_never_occurs_is_left_out():
    assert f1_macro(np.array([[5, 0, 0], [0, 5, 0], [0, 0, 0]])) == 1.0


def test_the_bootstrap_of_f1_is_as_wide_as_resampling_documents_makes_it():
    random = np.random.default_rng(3)
    labels = random.integers(0, 4, 300)
    predicted = np.where(random.random(300) < 0.8, labels, random.integers(0, 4, 300))
    found = evaluate(one_hot(predicted, 4), labels)["f1_macro"]
    rows = random.integers(0, 300, size=(1000, 300))
    scores = [float(f1_macro(confusion_matrix(predicted[r], labels[r], 4))) for r in rows]
    low, high = np.percentile(scores, [2.5, 97.5])
    assert (found.low, found.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_outputs_that_are_no_numbers_are_a_broken_artefact_not_a_bad_score(bad):
    logits = np.zeros((4, 2), dtype=np.float32)
    logits[2, 1] = bad
    with pytest.raises(BuildError, match="1 of 4 outputs are not finite"):
        predictions(logits)
