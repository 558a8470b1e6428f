"""Drafting: the answer is the model's own whatever is drafted; what repeats is found; a student reads what it must."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tuner.runtime.drafting import Drafts, drafted_loop, students_guess
from tuner.runtime.lookup import propose

WORDS = 7


class Model:
    """Chooses the next token by a table over the last two, and minds what was taken back."""

    def __init__(self, table):
        self.table, self.told, self.passes, self.sure = table, [], 0, 1.0

    def read(self, tokens):
        return self.read_all(tokens)[-1]

    def read_all(self, tokens):
        self.passes += 1
        logits = []
        for token in tokens:
            self.told.append(token)
            last = self.told[-2] if len(self.told) > 1 else 0
            logits.append(self.sure * np.eye(WORDS, dtype=np.float32)[self.table[last][token]])
        return np.array(logits)

    def forget(self, count):
        if count:
            del self.told[-count:]


def plain(table, prompt, most, stop):
    model, unread, found = Model(table), prompt, []
    while len(found) < most:
        token = int(model.read(unread).argmax())
        if token in stop:
            break
        found.append(token)
        unread = [token]
    return found


tables = st.lists(
    st.lists(st.integers(0, WORDS - 1), min_size=WORDS, max_size=WORDS), min_size=WORDS, max_size=WORDS
)


@given(
    tables, st.lists(st.integers(0, WORDS - 1), min_size=1, max_size=12), st.integers(1, 25), st.booleans()
)
def test_the_answer_is_the_models_own(table, prompt, most, stops):
    stop, model, counts = ({3} if stops else set()), Model(table), Drafts()
    found = list(drafted_loop(model, propose, prompt, most, stop, counts))
    assert found == plain(table, prompt, most, stop)
    assert 0 <= counts.accepted <= counts.drafted


@given(tables, tables, st.lists(st.integers(0, WORDS - 1), min_size=1, max_size=12), st.integers(1, 25))
def test_with_any_student_the_answer_is_the_models_own(table, students, prompt, most):
    model, student, counts = Model(table), Model(students), Drafts()
    student.sure = 9.0
    found = list(drafted_loop(model, students_guess(student), prompt, most, (), counts))
    assert found == plain(table, prompt, most, ())
    assert counts.drafted or most <= 2
    known = [*prompt, *found]
    assert model.told[: len(known) - 1] == known[:-1]  # what was wrong was taken back
    certain = max(len(student.told) - 6, 0)  # beside its last guesses
    assert student.told[:certain] == known[:certain]


def test_a_student_like_the_model_is_always_right_and_one_in_doubt_is_silent():
    table = [[(token + 3) % WORDS for token in range(WORDS)] for _ in range(WORDS)]
    for sure, passes in ((9.0, 8), (0.1, 40)):
        model, student, counts = Model(table), Model(table), Drafts()
        student.sure = sure
        assert len(list(drafted_loop(model, students_guess(student), [0, 3], 40, (), counts))) == 40
        assert counts.accepted == counts.drafted and model.passes <= passes


def test_what_repeats_takes_fewer_passes():
    table = [[(token + 1) % WORDS for token in range(WORDS)] for _ in range(WORDS)]
    model, counts = Model(table), Drafts()
    assert len(list(drafted_loop(model, propose, [0, 1, 2], 40, (), counts))) == 40
    assert model.passes < 20
    assert counts.accepted / counts.drafted > 0.8


def test_the_longest_and_latest_repetition_is_what_followed():
    assert propose([1, 2, 3, 9, 1, 2, 3], 2) == [9, 1]
    assert propose([5, 3, 8, 4, 3, 7, 5, 3], 1) == [
        8
    ]  # after two equal tokens, not after the latest single one
    assert propose([1, 2, 3], 4) == []
    assert propose([1, 2, 1], 0) == []
